"""One name for all averages of the parameters."""

import jax

from gradtx.core import check
from gradtx.core.trees import compute_dtype
from gradtx.core.types import Params, Scalar, State
from gradtx.transforms import schedule_free
from gradtx.transforms.evaluation import Reader, evaluated
from gradtx.wrappers import averages, gpa


def eval_params(state: State, params: Params, part: Scalar = 1.0) -> Params:
    """The parameters to evaluate and to store: the average that a state keeps.

    That of `average_weights`, of `gpa`, of `schedule_free` and its kin or of `asgd`,
    wherever it is: within a chain, `MultiSteps`, `masked`, `partition`,
    `inject_hyperparams`, and in a state of `zero1` outside of `shard_map`. Before the
    first entry it is the parameters themselves.

    Args:
      state: of the transformation that took the step.
      params: the parameters of that step. Those that a mask has taken out, and those
        of whole numbers, are handed on as they are.
      part: of the average, in [0, 1]; the rest is of params. Some end a training with
        0.6 of an average over its last 150 steps.

    Returns:
      A tree like the parameters, in their dtypes.

    Raises:
      ValueError: there is no average, two are about one parameter, or a part that is
        no fraction.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.MultiSteps(gradtx.average_weights(gradtx.sgd(1.0), "polyak"), 1)
      >>> params = jnp.zeros(1)
      >>> state = tx.init(params)
      >>> for _ in range(3):
      ...     params, state = tx.step(-jnp.ones(1), state, params)
      >>> gradtx.eval_params(state, params), gradtx.eval_params(state, params, part=0.5)
      (Array([2.], dtype=float32), Array([2.5], dtype=float32))
    """
    check.fraction("part", part)
    readers = {
        "AverageWeightsState": averages.READER,
        "GPAState": gpa.READER,
        "ScheduleFreeState": schedule_free.READER,
        "ScaleByAsgdState": Reader(("average",), _as_stored),
    }
    makers = "average_weights, gpa, schedule_free or asgd"
    return evaluated("eval_params", readers, makers, state, params, part)


def _as_stored(state: State, p: jax.Array, average: jax.Array) -> jax.Array:
    return average.astype(compute_dtype(average.dtype))
