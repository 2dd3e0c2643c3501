"""Processes that train together end alike; when one fails, all end and it is said."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import matplotlib.image
import numpy as np
import pytest

import gradtx
from examples import mnist, multihost, processes
from examples.datasets import Digits, Split, embedded_mnist


def python(code, *arguments):
    return [sys.executable, "-c", code, *map(str, arguments)]


def nothing(message):
    pass


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_processes_train_as_one_and_leave_picture_and_curves(tmp_path, capsys):
    # The whole command: it starts its processes, which compare their bits at the end.
    options = ["--epochs", "1", "--batch-size", "500", "--out", str(tmp_path)]
    run = multihost.main(options)
    assert run is not None
    said = capsys.readouterr().out
    assert "2 processes, 4 devices" in said
    assert "the same bits on every device of every process" in said
    digits = embedded_mnist()
    alone = mnist.train(
        "adamw", mnist.make_optimizer("adamw", 8), digits, epochs=1, batch_size=500
    )
    # The devices' parts of the mean are summed in another order.
    np.testing.assert_allclose(run.loss, alone.loss, rtol=1e-4)
    assert len(run.loss) == 8
    assert abs(run.test_accuracy[-1] - alone.test_accuracy[-1]) <= 0.002  # 2 digits
    picture = matplotlib.image.imread(tmp_path / "multihost.png")
    assert picture.min() < picture.max()
    saved = json.loads((tmp_path / "multihost.json").read_text())
    assert saved["processes"] == 2
    assert saved["runs"][0]["loss"] == run.loss


def test_messages_of_the_first_are_shown_and_the_others_not():
    code = "import sys; print('noise'); print('{\"from\": %s}' % sys.argv[1])"
    seen = []
    processes.run([python(code, i) for i in range(2)], seen.append, timeout=60)
    assert seen == [{"from": 0}]


def test_when_one_fails_the_others_end_and_its_words_are_shown(tmp_path):
    wait = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid()))"
    waiting = python(f"{wait}; time.sleep(600)", tmp_path / "pid")
    fail = "import os, sys, time"
    fail += "\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)"
    fail += "\nraise ValueError('out of luck')"
    failing = python(fail, tmp_path / "pid")
    with pytest.raises(processes.WorkerError) as caught:
        processes.run([waiting, failing], nothing, timeout=60)
    assert "process 1 ended with status 1" in str(caught.value)
    assert "ValueError: out of luck" in str(caught.value)
    assert "process 0" not in str(caught.value)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_one_that_is_killed_is_named_with_its_signal():
    killed = python(f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})")
    waiting = python("import time; time.sleep(600)")
    with pytest.raises(processes.WorkerError, match="process 0 was ended by SIGKILL"):
        processes.run([killed, waiting], nothing, timeout=60)


def test_those_that_hang_end_after_the_timeout_and_show_their_last_words():
    code = "import time; print('so far', flush=True); time.sleep(600)"
    done = python("pass")
    with pytest.raises(processes.WorkerError) as caught:
        processes.run([python(code), done], nothing, timeout=5)
    assert str(caught.value) == "process 0 was not done after 5 s\n    so far"


def test_an_interruption_ends_them():
    pids = []

    def interrupt(message):
        pids.append(message["pid"])
        raise KeyboardInterrupt

    code = "import os, time; print('{\"pid\": %d}' % os.getpid(), flush=True)"
    with pytest.raises(KeyboardInterrupt):
        processes.run([python(f"{code}; time.sleep(600)")], interrupt, timeout=60)
    assert not alive(pids[0])


def test_a_process_ends_when_the_one_that_started_it_is_killed():
    child = (
        "import os, time; from examples.processes import end_with_parent;"
        "end_with_parent(); print('{\"pid\": %d}' % os.getpid(), flush=True);"
        "time.sleep(600)"
    )
    parent = (
        "import sys; from examples import processes;"
        "processes.run([[sys.executable, '-c', sys.argv[1]]],"
        "lambda message: print(message['pid'], flush=True), 600)"
    )
    with subprocess.Popen(
        python(parent, child), cwd=processes.ROOT, stdout=subprocess.PIPE
    ) as started:
        pid = int(started.stdout.readline())
        started.kill()
    for _ in range(600):  # up to a minute; it takes milliseconds
        if not alive(pid):
            return
        time.sleep(0.1)
    pytest.fail(f"process {pid} still runs")


def test_bits_are_compared_at_the_end_of_a_training(monkeypatch):
    compared = []
    monkeypatch.setattr(gradtx.distributed, "check_replicas", compared.append)
    whole, said = embedded_mnist(), []
    few = Digits("few", *(Split(*(x[:80] for x in split)) for split in whole[1:]))
    run = multihost.train(
        few, lambda **message: said.append(message), epochs=2, batch_size=40, hidden=8
    )
    assert run.test_step == [2, 4]
    (tree,) = compared
    assert tree["params"]["hidden"]["kernel"].shape == (784, 8)
    # Replicated over all devices: there is something to compare.
    assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(tree))
    assert all(len(x.sharding.device_set) == 8 for x in jax.tree.leaves(tree))
    assert [m["epoch"] for m in said if "epoch" in m] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--processes", "0"], "--processes: must be a positive whole number"),
        (["--batch-size", "6"], "6 does not divide among 4 devices: take 8"),
        (["--batch-size", "4004"], "--batch-size 4004 is more than the 4,000 digits"),
        (["--process", "0"], "--process and --coordinator go together"),
        (["--coordinator", "a:1"], "--process and --coordinator go together"),
        (["--process", "2", "--coordinator", "a:1"], "--process 2: there are 0 to 1"),
    ],
)
def test_bad_arguments_are_named(arguments, problem, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        multihost.main(["--out", str(tmp_path), *arguments])
    assert caught.value.code == 2
    assert problem in capsys.readouterr().err


def test_an_output_folder_that_is_a_file_is_named_before_training(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(SystemExit, match=str(path)):
        multihost.main(["--out", str(path)])
