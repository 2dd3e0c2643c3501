"""What Python runs at its start in a program of `python -m gradtx.optax`.

That command puts this folder first into PYTHONPATH, where Python looks for a module of
this name. So the program itself runs as ever, and so do the processes it starts.
"""

import atexit
import importlib.machinery
import importlib.util
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))  # where gradtx is


class Finder:
    """Finds `optax` in gradtx, and gradtx where this file is."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "gradtx":
            return importlib.machinery.PathFinder.find_spec(name, [ROOT])
        if name.partition(".")[0] != "optax":
            return None
        # Not before the program asks: it may first set what JAX reads when imported.
        from gradtx.optax import _program

        return _program.spec_of(name)


def report():
    program = sys.modules.get("gradtx.optax._program")
    if program is not None:
        print(program.report(), file=sys.stderr)
    elif os.environ["GRADTX_OPTAX_REPORT"] == str(os.getpid()):  # not one it started
        print("gradtx.optax: the program did not import optax.", file=sys.stderr)


def start():
    sys.meta_path.insert(0, Finder)
    if "GRADTX_OPTAX_REPORT" in os.environ:
        atexit.register(report)
    # The path is the program's own, and so is a `sitecustomize` further on in it.
    sys.path[:] = [folder for folder in sys.path if folder != HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":  # not where it is imported to be read
    start()
