"""A worker killed in the middle of training and started again loses nothing."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from . import training

ROOT = Path(__file__).parents[2]
STEPS = 15


class Worker:
    """A process that trains, and stands still after each thing that it says."""

    def __init__(self, directory, devices):
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                training.__name__,
                directory,
                f"{STEPS}",
                f"{devices}",
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said = []

    def until(self, text):
        """Let it go on until it says so."""
        while not self.said or self.said[-1] != text:
            if self.said:
                self.go_on()
            line = self.process.stdout.readline()
            assert line, f"it ended before {text!r}: {self.said}"
            self.said.append(line.strip())

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.kill()
        assert self.end() == -signal.SIGKILL

    def end(self):
        self.process.communicate()
        return self.process.returncode


def test_a_killed_worker_ends_with_the_bits_of_an_undisturbed_one(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for directory in (whole, killed):
        directory.mkdir()

    # In the middle of an accumulation, its checkpoint written but not yet in place.
    worker = Worker(killed, devices=8)
    worker.until("stored 6")
    worker.kill()
    assert (killed / "run.new.npz").exists()

    # Somewhere after step 11, as it happens: it is running.
    worker = Worker(killed, devices=4)
    worker.until("step 11")
    assert worker.said[0] == "from 3"
    worker.go_on()
    worker.kill()

    worker = Worker(killed, devices=8)
    worker.until(f"stored {STEPS}")
    assert worker.said[0] in ("from 9", "from 12")
    worker.go_on()
    assert worker.end() == 0

    training.run(whole, STEPS, devices=8)
    with np.load(whole / "run.npz") as one, np.load(killed / "run.npz") as other:
        assert [*one] == [*other]
        assert int(one["step"]) == STEPS
        for name in one:
            assert one[name].dtype == other[name].dtype
            assert one[name].tobytes() == other[name].tobytes(), name
