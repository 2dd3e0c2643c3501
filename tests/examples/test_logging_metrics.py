"""The logging example: every metric of every tenth step is in TensorBoard's file."""

import struct
import sys

import pytest
from tensorboardX.proto.event_pb2 import Event

from examples import logging_metrics
from examples.datasets import Digits, Split, embedded_mnist


def logged(folder):
    """From a name to the pairs of step and value in the file that was written."""
    [path] = folder.glob("events.out.tfevents.*")
    data, place, found = path.read_bytes(), 0, {}
    while place < len(data):
        (size,) = struct.unpack_from("<Q", data, place)  # and a checksum, behind, too
        event = Event.FromString(data[place + 12 : place + 12 + size])
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
        place += size + 16
    return found


@pytest.fixture(autouse=True)
def _few_digits(monkeypatch):
    whole = embedded_mnist()
    few = Digits(
        "1,000 digits",
        Split(*(x[:1000] for x in whole.train)),
        Split(*(x[:100] for x in whole.test)),
    )
    monkeypatch.setattr(logging_metrics, "embedded_mnist", lambda: few)


def test_every_metric_is_logged(tmp_path, capsys):
    entry = logging_metrics.main(["--quick", "--out", str(tmp_path)])
    found = logged(tmp_path)
    assert {"loss", "grad_norm", "output/grad_norm", "skipped"} <= entry.keys()
    assert found.keys() == entry.keys() | {"test_accuracy"}
    assert [step for step, _ in found["loss"]] == [10, 20]
    assert found["grad_norm"][-1][1] == pytest.approx(entry["grad_norm"])
    said = capsys.readouterr().out
    assert "with_metrics(" in said
    assert "skipped 0" in said


def test_a_missing_writer_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(SystemExit, match="pip install tensorboardX"):
        logging_metrics.main(["--out", str(tmp_path)])
