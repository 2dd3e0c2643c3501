"""The benchmark measures what it says; no time is asserted on."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradtx
from gradtx.testing import discover
from tests.benchmarks import trees
from tests.benchmarks.__main__ import main
from tests.benchmarks.compare import LOOP, OPTAX, STEP, Options, compare
from tests.benchmarks.floor import FLOORS
from tests.benchmarks.measure import analyse, interleave, ratio
from tests.benchmarks.minimum import accumulated, once
from tests.benchmarks.report import failures
from tests.benchmarks.workloads import CALLS_AGAIN, Workload, workloads

TINY = Options(tree="tiny", seconds=0.0, rounds=1)


def test_a_quick_run_shows_a_table_and_writes_numbers_and_a_picture(tmp_path, capsys):
    chosen = ["accumulated_adamw", "sgd"]
    main(["--quick", "--workloads", *chosen, "--out", str(tmp_path)])
    (path,) = tmp_path.glob("*.json")
    found = json.loads(path.read_text())
    assert found.keys() >= {"device", "versions", "options", "results", "copy_gb_s"}
    assert found["versions"].keys() >= {"python", "jax", "gradtx", "optax"}
    assert [record["workload"] for record in found["results"]] == chosen
    shown = capsys.readouterr().out
    for record in found["results"]:
        assert record["workload"] in shown
        assert record["ways"].keys() >= {LOOP, STEP, OPTAX}
        assert not failures([record])
        assert record["minimum"]["milliseconds"] > 0
        for name, numbers in record["ways"].items():
            assert numbers["milliseconds"]["median"] > 0
            assert numbers["per_parameter"].keys() == {
                "bytes_accessed",
                "temp_bytes",
                "state_bytes",
            }
            assert (OPTAX in numbers["ratios"]) == (name != OPTAX)
            kinds = (
                {"between", "last"} if "accumulated" in record["workload"] else set()
            )
            assert numbers.get("kinds", {}).keys() == kinds
    assert [picture.stem for picture in tmp_path.glob("*.png")] == [f"{path.stem}-tiny"]


def test_scaling_goes_over_leaves_and_parameters(tmp_path, monkeypatch):
    cleared = []  # what other tests have compiled stays
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(True))
    limits = ["--max-leaves", "100", "--max-parameters", "1000000"]
    main(["--quick", "--scaling", *limits, "--out", str(tmp_path)])
    (path,) = tmp_path.glob("*-scaling.json")
    found = json.loads(path.read_text())["scaling"]
    assert [record["leaves"] for record in found["leaves"]] == [100]
    assert [record["parameters"] for record in found["parameters"]] == [1_000_000]
    assert path.with_suffix(".png").stat().st_size > 0
    assert cleared == [True]  # between many leaves and large ones


@pytest.mark.parametrize(
    ("name", "leaves", "parameters"),
    [
        ("gpt2", 148, 124_439_808),  # as published, with tied embeddings
        ("resnet50", 161, 25_557_032),  # as published
        ("deep", 2_404, 10_021_504),
        ("hundred", 100, 27_808),
    ],
)
def test_a_tree_has_the_leaves_of_its_model(name, leaves, parameters):
    tree = trees.structs(trees.TREES[name](), "float32")
    assert (len(jax.tree.leaves(tree)), trees.size(tree)) == (leaves, parameters)


def test_every_optimizer_is_a_workload():
    names = {name for name in discover(gradtx) if hasattr(optax, f"scale_by_{name}")}
    names -= CALLS_AGAIN
    assert "adam" in names
    assert names <= workloads().keys()


# Optax advises against its own defaults (a random key) and names (optimistic_adam).
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", workloads())
def test_a_workload_is_the_same_in_both_libraries(name):
    workload = workloads()[name]
    workload.build(gradtx)
    if workload.in_optax:
        workload.build(optax)


@pytest.mark.parametrize("name", sorted(FLOORS))
def test_a_step_by_hand_goes_where_gradtx_goes(name):
    floor = FLOORS[name]
    tx = workloads()[name].build(gradtx)
    if name == "clipped_adamw":  # there with a schedule, which costs no memory
        tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(1e-3))
    tree = trees.structs(trees.many(2), "float32")
    grads = trees.arrays(tree, 1.0, seed=1)
    mine = theirs = trees.arrays(tree, 1.0, seed=0)
    state, floor_state = tx.init(mine), floor.init(mine)
    step, floor_step = jax.jit(tx.step), jax.jit(floor.step)
    for _ in range(3):
        mine, state = step(grads, state, mine)
        theirs, floor_state = floor_step(theirs, floor_state, grads)
    for x, y in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
        # Three steps of 1e-3, each right to about 1e-4 of it (1 - b2**t in float32).
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-6)


def test_the_analysis_counts_what_a_step_moves():
    p = jax.ShapeDtypeStruct((1000,), jnp.float32)

    def step(params, state, grads):
        state = 0.9 * state + grads
        return params - state, state

    found = analyse(step, p, p, p)
    assert found["parameters"] == 1000
    assert found["equations"] == found["distinct_equations"] == 3
    assert found["state_bytes"] == 4000
    assert found["argument_bytes"] == 12_000
    assert found["alias_bytes"] == 8000  # parameters and state, in place
    assert found["per_parameter"]["temp_bytes"] == 0
    assert found["per_parameter"]["bytes_accessed"] >= once(4, 4, 4)


def test_equations_of_an_inner_function_count_with_every_call():
    inner = jax.jit(lambda x: x * x + 1)
    x = jax.ShapeDtypeStruct((3,), jnp.float32)
    found = analyse(lambda p, s, g: (inner(inner(p)), s), x, x, x)
    assert found["equations"] == 2 + 2 * 2
    assert found["distinct_equations"] == 2 + 2


def test_the_minimum_of_four_micro_batches_is_that_of_the_design():
    assert once(4, 4, 8) == 28
    assert accumulated(4, 4, 12) == 16  # 8, 12, 12 and 32


def test_one_way_that_fails_does_not_end_the_others_runs():
    def build(lib):
        if lib is optax:
            raise ValueError("no such thing")
        return gradtx.sgd(0.1)

    record = compare(Workload("broken", build), TINY)
    assert failures([record]) == ["broken, optax loop: ValueError: no such thing"]
    assert record["ways"][STEP]["milliseconds"]["samples"] == 1


def test_turns_are_interleaved_and_compared_in_pairs():
    ran = []
    turns = {name: lambda name=name: ran.append(name) or len(ran) for name in "ab"}
    values = interleave(turns, seconds=0.0, rounds=3)
    assert "".join(ran) == "abbaab"
    assert values == {"a": [1, 4, 5], "b": [2, 3, 6]}
    assert ratio([2.0, 30.0], [1.0, 10.0])["median"] == 2.5


def test_an_unknown_workload_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"no workload 'adamx'; there are adamw, "):
        main(["--workloads", "adamx", "--out", str(tmp_path)])
