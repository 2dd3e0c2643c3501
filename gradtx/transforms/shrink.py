"""Weight decay behind the learning rate: a part of the weights is taken away."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.leafwise import stateless_init
from gradtx.core.masking import MaskOrFn, resolve_mask
from gradtx.core.numerics import now, safe_increment
from gradtx.core.plan import Inputs, Plan, check_state, need_params, updating
from gradtx.core.rules import Rule
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule

SHRINKING = ("decoupled", "independent", "corrected", "cautious")


class ShrinkWeightsState(NamedTuple):
    count: jax.Array  # steps taken, int32


@transformation
def shrink_weights(
    weight_decay: ScalarOrSchedule,
    learning_rate: ScalarOrSchedule,
    kind: str = "decoupled",
    *,
    peak: Scalar = 1.0,
    mask: MaskOrFn | None = None,
    normalized: MaskOrFn | None = None,
):
    """Take a part of the weights away, behind the learning rate; see `with_decay`.

        u_t = g_t - c_t p_{t-1}

    where g_t is a step downhill, and c_t is what `with_decay` says for the kind.

    State: none for numbers; for a schedule one int32. `update` needs params.

    Args:
      weight_decay, learning_rate: numbers or schedules.
      kind: any of `with_decay` but "coupled".
      peak: the largest learning rate, above 0.
      mask, normalized: see `with_decay`.

    Raises:
      ValueError: a number out of range, another kind, no params in `update`, or a mask
        that does not fit.
    """
    check.choice("kind", kind, SHRINKING)
    check.learning_rate("learning_rate", learning_rate)
    check.positive("peak", peak)
    if not callable(weight_decay):
        check.nonnegative("weight_decay", weight_decay)
    counted = callable(weight_decay) or callable(learning_rate)
    nothing = isinstance(weight_decay, float | int) and weight_decay == 0

    def rule(g, p, part):
        if nothing:
            return g  # XLA would store the sum with 0 p
        less = g - part * p
        if kind != "cautious":
            return less
        # Of signs, since a product of small numbers may be 0.
        along = (jnp.sign(g) * jnp.conj(jnp.sign(p))).real
        return jnp.where(along <= 0, less, g)

    def parts(count):
        """Of the leaves that decay, and of those that normalisation follows."""
        decay = now("weight_decay", weight_decay, count)
        rate = now("learning_rate", learning_rate, count)
        if kind == "independent":
            return (rate / peak * decay,)
        if kind == "corrected":
            both = rate * decay, rate / peak * rate * decay
            return both if normalized is not None else both[1:]
        return (rate * decay,)

    def init(params):
        if not counted:
            return stateless_init(params)
        return ShrinkWeightsState(jnp.zeros([], jnp.int32))

    def prepare(updates, state, params):
        need_params(params)
        new, count = state, None
        if counted:
            check_state(state, ShrinkWeightsState)
            count = state.count
            new = ShrinkWeightsState(safe_increment(count))
        chosen = None if mask is None else resolve_mask(mask, params)
        masks = [chosen]
        if normalized is not None:
            some = resolve_mask(normalized, params, "normalized")
            masks = [_both(chosen, some, False), _both(chosen, some, True)]
        found = zip(parts(count), masks, strict=True)
        return [Inputs(scalars=(part,), mask=m) for part, m in found], lambda _: new

    rules = [Rule(rule, with_params=True)] * (2 if normalized is not None else 1)
    return init, updating(Plan(rules, prepare))


def _both(chosen, some, wanted):
    """Where a leaf decays, and is normalised or is not, as wanted."""
    if chosen is None:
        return jax.tree.map(lambda x: bool(x) == wanted, some)
    return jax.tree.map(lambda x, y: bool(x) and bool(y) == wanted, chosen, some)
