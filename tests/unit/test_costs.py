"""No step costs more than the table allows: bytes, temporaries, state, equations."""

import re

import jax
import pytest

import gradtx
from gradtx import aggregating
from gradtx.testing import discover
from tests.benchmarks import trees
from tests.benchmarks.compare import STEP, ways
from tests.benchmarks.costs import allowed, compiled, measured

WORKLOADS = compiled()
# What an optimizer is made of is measured within it.
WHOLE = tuple(
    f"gradtx.{name}." for name in ("optimizers", "matrix", "wrappers", "aggregating")
)
WITHOUT_A_ROW = {
    "lbfgs": "a step costs what the calls of the loss in its line search do",
    "newton": "likewise, and what products with the Hessian do",
}
# Elementwise rules, and the wrappers whose step saves the rest, need no temporaries.
NO_TEMPORARIES = 0.1  # bytes a parameter: scalars and small leaves joined for a norm
STORED = {
    "noisy_sgd": 13.6,  # random bits, which JAX draws for a whole leaf in a loop
    "dpsgd": 13.6,  # likewise
    "sophia": 14.8,  # likewise, and the second moment, used and then renewed
    "fresh_sophia": 13.6,  # random bits
    "apollo": 1.0,  # gradients that are projected, and what projects them
    "muon": 12.6,  # a matrix and two Gram matrices, in the polynomial
    "galore": 6.5,  # a product of matrices, which is whole before it is added
    "wholly_measured_adamw": 4.1,  # updates: their norm is known before they are used
    "cautious_adamw": 4.0,  # the mask: XLA fuses no comparison into a sum
    "averaged_adamw": 4.0,  # the mean of the examples, which both moments take
    "increments_adamw": 4.0,  # likewise
    "spread_adamw": 10.8,  # likewise, twice, and what is summed for the variance
    "transformed_adamw": 4.0,  # gradients that come out of a branch
    "quantized_adamw": 1.0,  # a chunk, which is a good part of so small a leaf
    "written_adamw": 2.0,  # the old parameter, of which the new and its rest are made
    "sam_adamw": 4.0,  # parameters on their way to the cache, around a branch
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


def test_every_optimizer_and_wrapper_has_a_row():
    found = discover(gradtx) | discover(aggregating)
    names = {name for name, make in found.items() if make.__module__.startswith(WHOLE)}
    names = {name for name in names if not name.startswith("scale_by_")}
    described = [gradtx.describe(w.build(gradtx)) for w in WORKLOADS.values()]
    used = {name for text in described for name in re.findall(r"\w+", text)}
    assert names - used == set(WITHOUT_A_ROW), HOW


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


def test_groups_that_differ_in_numbers_give_the_compiler_one_program():
    tree = trees.structs(trees.transformer(50, 16, 64, 32), "float32")

    def operations(name):
        way = ways(WORKLOADS[name])[STEP]()
        return jax.jit(way.fn).lower(*way.shapes(tree)).as_text().count(" = ")

    # A count and the corrections of each group, however many leaves there are.
    assert operations("grouped_adamw") <= 1.02 * operations("adamw")


def test_what_a_wrapper_adds():
    def step(name):
        return allowed()["rows"][name][STEP]["bytes"]

    plain = step("adamw")
    # One more read of the gradient, of 4 bytes; cost_analysis counts scalars, too.
    assert step("clipped_adamw") <= plain + 4.1
    assert step("finite_adamw") <= plain + 4.1
    assert step("zero_nans_adamw") <= plain + 4.1
    # No kind of decay and no factor of a leaf takes another pass.
    for name in ("cautiously_decayed", "corrected", "layerwise", "mup"):
        assert step(f"{name}_adamw") <= plain + 0.1
    # The norm is that of the clip: nothing is read for it, in either way.
    for way, figures in allowed()["rows"]["measured_clipped_adamw"].items():
        clipped = allowed()["rows"]["clipped_adamw"][way]
        assert figures["bytes"] == clipped["bytes"]
        assert figures["temporary"] <= clipped["temporary"]
    # Read the gradient, read and write the accumulator.
    assert step("accumulated_adamw") <= plain + 12.1
    # Read the new parameter, read and write the average.
    assert step("average_adamw") <= plain + 12.1
