"""Programs under `python -m gradtx.optax`: scripts, modules, their children."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gradtx
from gradtx.optax import __main__ as command

ROOT = Path(gradtx.__file__).parents[1]

# An Optax with names that gradtx will never have.
ONLY_THERE = """
from typing import NamedTuple

__version__ = "9.9"

class EmptyState(NamedTuple): pass
class MaskedNode(NamedTuple): pass
class GradientTransformation(NamedTuple):
    init: object
    update: object
class GradientTransformationExtraArgs(GradientTransformation): pass

def only_there():
    return GradientTransformationExtraArgs(
        lambda params: EmptyState(), lambda u, s, p=None, **extra: (extra["twice"], s))
"""

MODULE = """
import os
import sys

assert not {"jax", "gradtx", "optax"} & set(sys.modules)
os.environ["JAX_ENABLE_X64"] = "1"  # before JAX is imported, as programs do

import multiprocessing
import pickle

import optax
import optax.contrib
import optax._src.base
from optax import tree_utils as otu
from optax._src import numerics, transform as t
from optax._src import wrappers
from optax._src.transform import *
from package import helper


def child():
    return optax.adam.__module__


if __name__ == "__main__":
    import gradtx
    import jax.numpy as jnp

    assert jnp.ones(()).dtype == "float64"
    assert sys.argv[1:] == ["--lr", "0.1"] and sys.argv[0] == __file__
    assert __spec__.name == "package.train" and sys.path[0] == os.getcwd()
    assert optax.adam is gradtx.adam is optax._src.alias.adam is helper.adam
    assert optax.__version__ == "0.2.8" and "adam" in dir(optax)
    assert t.ScaleByAdamState is gradtx.ScaleByAdamState and numerics.abs_sq(3) == 9
    assert isinstance(optax._src.base.NO_PARAMS_MSG, str)
    assert otu.tree_get(optax.adam(0.1).init(1.0), "nothing") is None
    tx = gradtx.to_optax(optax.adam(0.1))
    assert type(tx) is optax.GradientTransformationExtraArgs
    assert scale_by_lion is gradtx.scale_by_lion
    assert wrappers.MaskedState is gradtx.MaskedState
    for name in ("nothing_at_all", "__nothing__"):
        assert not hasattr(optax, name)
    try:
        optax.contrib.neither
    except AttributeError as error:
        assert "neither gradtx nor Optax 9.9 has optax.contrib.neither" in str(error)
    saved = pickle.dumps(gradtx.TraceState(1.0), protocol=0)
    saved = saved.replace(b"gradtx.transforms.momentum", b"optax._src.transform")
    assert pickle.loads(saved) == gradtx.TraceState(1.0)
    assert sys.own_sitecustomize and not any("_startup" in p for p in sys.path)

    mixed = optax.chain(optax.sgd(1.0), optax.only_there())
    state = mixed.init(1.0)
    assert isinstance(optax.only_there(), optax.GradientTransformationExtraArgs)
    assert isinstance(state[-1], optax.EmptyState)
    assert float(mixed.update(3.0, state, twice=6.0)[0]) == 6

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(child).startswith("gradtx")
    print("reached the end")
    sys.exit(7)
"""

SCRIPT = """
import sys


class WithoutOptax:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "optax":
            raise ModuleNotFoundError("No module named 'optax'", name="optax")


sys.meta_path.insert(1, WithoutOptax)
assert sys.argv == [sys.argv[0], "-v", "--report"] and sys.flags.bytes_warning == 1
assert __name__ == "__main__" and __spec__ is None
assert sys.path[0] in sys.argv[0] and sys.path[1:] == PATH

import gradtx
import optax

assert gradtx.__file__.startswith("ROOT")

try:
    import optax.nowhere
except ModuleNotFoundError as error:
    assert error.name == "optax.nowhere", error
print(optax.adam(0.1))
optax.contrib.adamw
"""


def run(arguments, cwd, path):
    command = [sys.executable, "-bm", "gradtx.optax", *arguments]
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def test_a_module_with_optax_installed(tmp_path):
    package, site = tmp_path / "package", tmp_path / "site"
    for folder in (package, site / "optax"):
        folder.mkdir(parents=True)
    (package / "train.py").write_text(MODULE)
    (package / "helper.py").write_text("from optax import adam\n")
    (site / "optax" / "__init__.py").write_text(ONLY_THERE)
    own = "import sys; sys.own_sitecustomize = True"
    (site / "sitecustomize.py").write_text(own)
    arguments = ["--report", "-m", "package.train", "--lr", "0.1"]
    done = run(arguments, tmp_path, f"{ROOT}{os.pathsep}{site}")
    assert done.stdout == "reached the end\n", done.stderr
    assert done.returncode == 7
    report = " ".join(done.stderr.split())
    assert "Optax 9.9 answered 1: only_there" in report
    assert "nobody answered 2: contrib.neither, nothing_at_all" in report
    assert "_src.alias.adam" in report
    assert "gradtx answered" in report


def test_a_script_without_optax(tmp_path):
    script = tmp_path / "script.py"
    # gradtx is found where the command is given, and the program's path is its own.
    own = [sys.executable, "-c", "import sys; print(sys.path[1:])"]
    env = {**os.environ, "PYTHONPATH": ""}
    path = subprocess.run(own, env=env, capture_output=True, text=True).stdout
    script.write_text(SCRIPT.replace("ROOT", str(ROOT)).replace("PATH", path.strip()))
    done = run([str(script), "-v", "--report"], ROOT, "")
    assert done.stdout == "adam(0.1)\n", done.stderr
    assert done.returncode == 1
    # What the program raised, from its own line on, and no report.
    first, second, *_ = done.stderr.splitlines()
    assert first == "Traceback (most recent call last):"
    assert second.endswith(f'script.py", line {SCRIPT.count(chr(10))}, in <module>')
    assert "no attribute 'adamw'; there is adamw." in done.stderr


@pytest.mark.parametrize(
    ("written", "options"),
    [
        (["-m", "gradtx.optax"], []),
        (["-W", "error", "-m", "gradtx.optax"], ["-W", "error"]),
        (["-um", "gradtx.optax"], ["-u"]),
        (["-X", "dev", "-bmgradtx.optax"], ["-X", "dev", "-b"]),
        (["a_debugger.py"], []),
    ],
)
def test_python_keeps_its_own_options(written, options):
    arguments = ["train.py", "-m", "x"]
    original = ["python", *written, *arguments]
    assert command.interpreter(original, arguments) == [sys.executable, *options]


def test_a_call_that_says_nothing_to_run(capsys):
    assert command.main(["--report"]) == 2
    assert command.USAGE in capsys.readouterr().err
    assert command.main(["--help"]) == 0
    assert "-m module" in capsys.readouterr().out


def test_a_python_that_ignores_the_environment_is_told(monkeypatch, capsys):
    class Flags:
        ignore_environment, no_site = 1, 0

    monkeypatch.setattr(sys, "flags", Flags)
    assert command.main(["train.py"]) == 2
    assert "gradtx.optax.install()" in capsys.readouterr().err


def test_the_program_finds_what_is_set_for_it(monkeypatch):
    started = {}
    monkeypatch.setattr(os, "execve", lambda *given: started.update(given=given))
    monkeypatch.setenv("PYTHONPATH", "mine")
    command.main(["--report", "-m", "train", "--report"])
    executable, line, environment = started["given"]
    assert line == [executable, "-m", "train", "--report"]
    startup, mine = environment["PYTHONPATH"].split(os.pathsep)
    assert (Path(startup) / "sitecustomize.py").exists()
    assert mine == "mine"
    assert environment["GRADTX_OPTAX_REPORT"] == str(os.getpid())
