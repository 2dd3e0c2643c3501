"""Processes that work together: when one fails, all end, and what it said is shown."""

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]  # where `python -m examples.multihost` works
TAIL_LINES = 15  # of what a process said before it failed
GRACE_SECONDS = 0.5  # for others to fail of the same cause, and be shown too


class WorkerError(RuntimeError):
    """A process ended with an error, or did not end in time."""


def run(
    commands: Sequence[Sequence[str]],
    show: Callable[[dict[str, Any]], None],
    timeout: float,
) -> None:
    """Run commands side by side to their end; whatever happens, none is left over.

    Args:
        commands: what to run, in the root of the checkout.
        show: called with each line of JSON that the first one prints.
        timeout: seconds until they are ended.

    Raises:
        WorkerError: one of them ended with an error, by a signal or not in time; with
            the last that it said.
    """
    workers: list[subprocess.Popen[bytes]] = []
    messages: queue.Queue[dict[str, Any]] = queue.Queue()
    with ExitStack() as stack:
        # Files, not pipes: nobody has to read them for the processes to go on.
        logs = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands]
        try:
            for i, command in enumerate(commands):
                worker = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    stdin=subprocess.PIPE,  # see end_with_parent
                    stdout=logs[i] if i else subprocess.PIPE,
                    stderr=logs[i],
                    start_new_session=True,  # Ctrl-C comes to us alone
                )
                workers.append(stack.enter_context(worker))
            reader = threading.Thread(
                target=_read, args=(workers[0].stdout, logs[0], messages)
            )
            reader.start()
            stack.callback(reader.join)
            codes = _watch(workers, reader, messages, show, timeout)
        finally:
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.wait()
        reader.join()  # or the last words of the first may be missing
        failed = [i for i, code in enumerate(codes) if code]
        problems = [f"process {i} {_end(codes[i])}{_tail(logs[i])}" for i in failed]
        if not failed:
            late = [i for i, code in enumerate(codes) if code is None]
            problems = [
                f"process {i} was not done after {timeout:g} s{_tail(logs[i])}"
                for i in late
            ]
        if problems:
            raise WorkerError("\n".join(problems))


def _watch(
    workers: Sequence[subprocess.Popen[bytes]],
    reader: threading.Thread,
    messages: queue.Queue[dict[str, Any]],
    show: Callable[[dict[str, Any]], None],
    timeout: float,
) -> list[int | None]:
    """Show messages until all have ended, one has failed or it is too late.

    Returns:
        The exit code of each, None of those that still run.
    """
    deadline = time.monotonic() + timeout
    while True:
        codes = [worker.poll() for worker in workers]
        ended = None not in codes and not reader.is_alive()
        try:
            while True:
                show(messages.get(timeout=0 if ended else 0.1))
        except queue.Empty:
            pass
        if any(codes):
            time.sleep(GRACE_SECONDS)
            return [worker.poll() for worker in workers]
        if ended or time.monotonic() > deadline:
            return codes


def _read(lines: IO[bytes], log: IO[bytes], messages: queue.Queue) -> None:
    """Sort what the first process prints: messages to show, the rest to its log."""
    for line in lines:
        try:
            messages.put(json.loads(line))
        except ValueError:
            log.write(line)
            log.flush()


def _end(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with status {code}"


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    return "".join(f"\n    {line}" for line in lines)


def end_with_parent() -> None:
    """End this process when the one that started it is gone, however it went.

    The pipe to our standard input closes then, and only then.
    """

    def wait() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
