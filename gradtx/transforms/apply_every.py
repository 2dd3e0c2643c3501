"""Updates summed up, and handed out every k steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.leafwise import zeros
from gradtx.core.numerics import safe_increment
from gradtx.core.plan import check_shapes, check_state, lift
from gradtx.core.transformation import transformation
from gradtx.core.trees import dtype_of, filled, is_inexact, map_present
from gradtx.core.types import Updates


class ApplyEvery(NamedTuple):
    """The state of `apply_every`."""

    count: jax.Array  # updates in the sum, 0 after it was handed out, int32
    # Sum of the updates, shaped like params, float32 at least. While count is 0 what
    # was handed out last: it is begun anew, not cleared.
    grad_acc: Updates


@transformation
def apply_every(k: int | jax.Array = 1):
    """Sum the updates up, and hand the sum out every k steps.

        a_t = a_{t-1} + g_t
        u_t = a_t   if mod(t, k) = 0
              0     otherwise

    The sum begins at 0, and again after each hand-out. Those in front of it in a chain
    run in each step: `chain(adam(1e-3), apply_every(4))` adds four of Adam's steps,
    each from a gradient of its own. `MultiSteps(adam(1e-3), 4)` takes one step from the
    mean of four gradients, as a larger batch would.

    A leaf whose update is `None` in a step counts as zero there; it may be due what
    other steps have gathered, so that its update is not `None`. A NaN is gone with
    the sum that it is in.

    State: one array per parameter (`None` for one of integers) and one int32.

    Args:
      k: after how many steps the sum is handed out, a whole number from 1.

    Raises:
      ValueError: if k is below 1 or not whole.

    Example:
      >>> import gradtx
      >>> tx = gradtx.apply_every(2)
      >>> state = tx.init(0.0)
      >>> for gradient in (1.0, 3.0):
      ...     update, state = tx.update(gradient, state)
      ...     print(float(update))
      0.0
      4.0
    """
    check.count("k", k, 1)

    def gather(g, acc, first, last):
        # By where: a product with 0 would keep a NaN.
        acc = jnp.where(first, g, acc + g)
        return jnp.where(last, acc, 0), acc

    add = lift(gather)

    def nothing_for(p):
        return zeros().init(p) if is_inexact(dtype_of(p)) else None

    def init(params):
        return ApplyEvery(jnp.zeros([], jnp.int32), map_present(nothing_for, params))

    def update(updates, state, params=None):
        check_state(state, ApplyEvery)
        check_shapes(updates, state.grad_acc)
        count = state.count % k
        last = count == k - 1
        updates, [acc] = add(
            filled(updates, state.grad_acc, 0),
            (state.grad_acc,),
            scalars=(count == 0, last),
        )
        return updates, ApplyEvery(jnp.where(last, 0, safe_increment(count)), acc)

    return init, update
