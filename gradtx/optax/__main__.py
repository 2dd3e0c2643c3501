"""Run a program on gradtx: `python -m gradtx.optax train.py --its arguments`.

In it, and in the Python processes that it starts, `import optax` is answered by
`gradtx.optax`; for a name that gradtx lacks Optax answers, where it is installed.
`optax._src.anything` answers to every name.

Whatever Python takes may stand there: a script, `-m module`, `-c code`. Python starts
anew for it, so that the program finds the interpreter as it would have without
gradtx: nothing imported, its own `sys.argv`, `sys.path` and `__main__`.

    --report    print at exit which names were used, and who answered
"""

import os
import subprocess
import sys
from pathlib import Path

STARTUP = Path(__file__).parent / "_startup"
USAGE = "usage: python -m gradtx.optax [--report] (script.py | -m module) [arguments]"


def interpreter(original: list[str], arguments: list[str]) -> list[str]:
    """Python and its own options, from the command that started this."""
    options = original[1 : len(original) - len(arguments)]
    if not options or not options[-1].endswith("gradtx.optax"):
        return [sys.executable]  # started in another way
    *options, last = options
    if last == "gradtx.optax":  # -m gradtx.optax, -um gradtx.optax
        *options, last = options
    last = last.removesuffix("gradtx.optax").removesuffix("m")
    return [sys.executable, *options, *([last] if last != "-" else [])]


def main(arguments: list[str]) -> int:
    python = interpreter(sys.orig_argv, arguments)
    environment = dict(os.environ)
    environment.pop("GRADTX_OPTAX_REPORT", None)
    if arguments[:1] in (["-h"], ["--help"]):
        print(f"{USAGE}\n\n{__doc__}")
        return 0
    if arguments[:1] == ["--report"]:
        arguments = arguments[1:]
        environment["GRADTX_OPTAX_REPORT"] = str(os.getpid())
    if not arguments:
        print(USAGE, file=sys.stderr)
        return 2
    if sys.flags.ignore_environment or sys.flags.no_site:
        print(
            "gradtx.optax: python's options -E, -I and -S keep it from answering; call "
            "gradtx.optax.install() at the start of the program instead.",
            file=sys.stderr,
        )
        return 2
    path = [str(STARTUP), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    command = [*python, *arguments]
    if os.name == "nt":  # there the shell would not wait for the program
        return subprocess.run(command, env=environment).returncode
    os.execve(sys.executable, command, environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
