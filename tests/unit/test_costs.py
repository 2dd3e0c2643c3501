"""No step costs more than the table allows: bytes, temporaries, state, equations."""

import jax
import pytest

from tests.benchmarks.compare import STEP
from tests.benchmarks.costs import allowed, compiled, measured

WORKLOADS = compiled()
# Elementwise rules, and the wrappers whose step saves the rest, need no temporaries.
NO_TEMPORARIES = 0.1  # bytes a parameter: scalars and small leaves joined for a norm
STORED = {
    "acprop": 4.0,  # the step and the new second moment both read the old one: a copy
    "apollo": 1.2,  # gradients that are projected, and what projects them
    "galore": 6.5,
    "lamb": 4.1,  # a direction made of quotients is whole before its norm is known
}
HOW = "If it is meant to: python -m tests.benchmarks.costs"


@pytest.mark.skipif(
    jax.__version__ != allowed()["jax"],
    reason="XLA fuses otherwise in another version of jax than the table is of",
)
@pytest.mark.parametrize("name", WORKLOADS)
def test_costs_no_more_than_allowed(name):
    assert name in allowed()["rows"], f"{name} has no row. {HOW}"
    row = allowed()["rows"][name]
    for way, figures in measured(WORKLOADS[name]).items():
        for what, figure in figures.items():
            assert figure <= row[way][what], f"{way}: {what}. {HOW}"


def test_every_row_is_of_a_workload():
    gone = set(allowed()["rows"]) - set(WORKLOADS)
    assert not gone, f"rows of no workload. {HOW}"


@pytest.mark.parametrize("name", allowed()["rows"])
def test_a_step_stores_nothing_in_between(name):
    assert allowed()["rows"][name][STEP]["temporary"] <= STORED.get(
        name, NO_TEMPORARIES
    )


@pytest.mark.parametrize("name", allowed()["rows"])
def test_a_step_is_never_dearer_than_the_loop(name):
    rows = allowed()["rows"][name]
    for way in rows:
        assert rows[STEP]["bytes"] <= rows[way]["bytes"]


def test_what_a_wrapper_adds():
    def step(name):
        return allowed()["rows"][name][STEP]["bytes"]

    plain = step("adamw")
    # One more read of the gradient, of 4 bytes; cost_analysis counts scalars, too.
    assert step("clipped_adamw") <= plain + 4.1
    assert step("finite_adamw") <= plain + 4.1
    assert step("zero_nans_adamw") <= plain + 4.1
    # Read the gradient, read and write the accumulator.
    assert step("accumulated_adamw") <= plain + 12.1
