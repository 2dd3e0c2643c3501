"""check: what is probably wrong with a transformation, before anything runs."""

from collections.abc import Collection
from typing import Any

import jax

from gradtx.checking import numbers, order, shapes
from gradtx.checking.finding import Finding as Finding
from gradtx.checking.walk import steps_of
from gradtx.core import trees

# Each kind of finding and what finds it.
RULES = {
    "decay_after_rate": order.decay_after_rate,
    "clip_after_rate": order.clip_after_rate,
    "two_rates": order.two_rates,
    "two_schedules": order.two_schedules,
    "raw_gradients": order.raw_gradients,
    "accumulate_inside_zero1": order.accumulate_inside_zero1,
    "mask_of_none": shapes.mask_of_none,
    "decay_on_vectors": shapes.decay_on_vectors,
    "stacked_layers": shapes.stacked_layers,
    "bfloat16_second_moment": numbers.bfloat16_second_moment,
    "eps_underflows": numbers.eps_underflows,
    "from_elsewhere": numbers.from_elsewhere,
}


def check(tx: Any, params: Any, *, ignore: Collection[str] = ()) -> list[Finding]:
    """Say what is probably wrong with a transformation, and what to write instead.

    It reads the calls that the transformation was made by, inside of chains, aliases
    and wrappers, and the shapes of the parameters. Nothing is computed, and no device
    is touched. What is certainly wrong is an error elsewhere; these are

    - `decay_after_rate`: decay behind the learning rate, where it makes weights grow;
    - `clip_after_rate`: a clip of the step, where one of the gradient was meant;
    - `two_rates`, `two_schedules`: two learning rates, or two schedules, that multiply;
    - `raw_gradients`: an optimizer for some of the parameters only, in `masked` without
      `otherwise="zero"` or in `conditionally_transform`: the others go uphill;
    - `accumulate_inside_zero1`: it communicates in each micro-batch;
    - `mask_of_none`: a mask that chooses no parameter, a label that none has;
    - `decay_on_vectors`: biases and gains of normalisation among the decayed;
    - `stacked_layers`: layers stacked in one array, given to a rule that takes it for
      one matrix, or has one norm for it;
    - `bfloat16_second_moment`: one that its b2 cannot move;
    - `eps_underflows`: a second moment in float16 that is zero where eps is too small
      to stand for it, or an eps that is zero in its dtype. (With float16 parameters an
      eps of 1e-8 is right: it is used in float32.);
    - `from_elsewhere`: a pair of functions that `check` cannot look into.

    Args:
      tx: any transformation.
      params: the parameters, or their shapes as of `jax.eval_shape`.
      ignore: kinds of findings that are meant so.

    Returns:
      The findings, a list that is empty where there is none; each prints as a line.

    Raises:
      TypeError: tx is not a transformation, or a leaf of params is no array.
      ValueError: a mask or labels that do not fit, or ignore names no kind.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.chain(gradtx.sgd(0.1), gradtx.clip_by_global_norm(1.0))
      >>> for finding in gradtx.check(tx, {"w": jnp.ones((2, 2))}):
      ...     print(finding)
      clip_after_rate: clip_by_global_norm(1.0) limits the steps of sgd(0.1), not the
      gradients. Write chain(clip_by_global_norm(1.0), sgd(0.1)).
    """
    names = [ignore] if isinstance(ignore, str) else list(ignore)
    unknown = [name for name in names if name not in RULES]
    if unknown:
        raise ValueError(f"check: ignore must be of {list(RULES)}, got {unknown}.")
    found: list[Finding] = []

    def read(params: Any) -> None:
        steps = steps_of(tx, params)
        for kind, rule in RULES.items():
            if kind not in names:
                found.extend(Finding(kind, *said) for said in rule(steps))

    with trees.at_work("check"):
        trees.check_arrays(params)
        jax.eval_shape(read, params)  # masks are given tracers, as under jit
    return found
