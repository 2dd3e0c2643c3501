"""Real processes on this machine, joined by jax.distributed."""

import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 120  # after which processes that hang are ended


def outputs(count: int, *command: str) -> list[str]:
    """Run `python *command PORT RANK` as so many processes; what each has printed.

    A process that fails fails the test, with what it said; none is left over.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    workers = [
        subprocess.Popen(
            [sys.executable, *command, port, str(rank)],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    found = []
    try:
        for worker in workers:
            out, errors = worker.communicate(timeout=SECONDS)
            assert worker.returncode == 0, errors
            found.append(out)
    finally:
        for worker in workers:
            worker.kill()
    return found
