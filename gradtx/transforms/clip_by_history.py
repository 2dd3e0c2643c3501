"""Clipping of the whole tree to what its norm has been."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisNames, check_axis_name
from gradtx.core.extra import scalar_dtype
from gradtx.core.numerics import shrinking
from gradtx.core.plan import Inputs, check_state, planned
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar
from gradtx.transforms.history import check_window, entered, mean_of, quantile_of
from gradtx.tree.norms import norm


class ClipByHistoryState(NamedTuple):
    norms: jax.Array  # the last ones, newest last, (window,), float32 at least
    count: jax.Array  # how many of them there are, int32


@transformation
def clip_by_history(
    window: int = 128,
    quantile: Scalar | None = None,
    multiple: Scalar | None = None,
    warmup: int | None = None,
    *,
    axis_name: AxisNames = None,
):
    """Shrink the updates, all by the same factor, to what their norm has been of late.

        u_t = g_t min(1, c_t / |g_t|)
        c_t = quantile(|g_{t-1}|, ..., |g_{t-w}|)
        c_t = multiple mean(n_{t-1}, ..., n_{t-w}),   n_t = min(|g_t|, c_t)

    where w is the window and |g| the norm of the whole tree. The limit needs no number
    that fits the model, and follows a norm that falls or grows. It is the one or the
    other, whichever is given:

    - A quantile of 0.1 shortens nine steps of ten, and has steps be of nearly one
      length; 0.5 shortens each second, 0.9 the longest. The norms count as they are.
    - A multiple of 2 leaves ordinary steps as they are. A norm counts as clipped:
      a single one of 1e6 would else raise the limit for a whole window. So the mean
      grows by a part of (multiple - 1) / window in a step at most.

    Until `warmup` norms are there, nothing is clipped; a `clip_by_global_norm` in front
    is for these steps. A norm of 0 is not counted, for a limit of 0 would be one for
    good. Nor is one that is NaN or infinite: it makes the updates NaN or zero, as with
    `clip_by_global_norm`, and leaves the limit as it was.

    State: `window` numbers and one int32.

    Args:
      window: how many norms count, a whole number from 1.
      quantile: in [0, 1].
      multiple: above 1, or the limit would fall by itself.
      warmup: how many norms have to be there, a whole number from 1 to `window`; an
        eighth of it by default, so that a quantile is of more than a few.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`.

    Raises:
      ValueError: a number out of range, both or neither of quantile and multiple; an
        axis is not there, or the updates differ along one that is not named.

    Source: Seetharaman et al., AutoClip: adaptive gradient clipping for source
    separation networks (2020), algorithm 1, for the quantile, which is there of all
    norms so far, the present one too, from the first step on; the authors take 0.1.

    Example:
      >>> import gradtx
      >>> tx = gradtx.clip_by_history(window=4, multiple=2.0, warmup=2)
      >>> state = tx.init(0.0)
      >>> for gradient in (1.0, 3.0, 100.0, 2.0):
      ...     update, state = tx.update(gradient, state)
      ...     print(float(update))
      1.0
      3.0
      4.0
      2.0
    """
    least = check_window(window, warmup, window // 8, 1)
    if (quantile is None) == (multiple is None):
        raise ValueError(
            f"clip_by_history: give one of quantile and multiple, such as quantile=0.1 "
            f"or multiple=2.0; got quantile={quantile}, multiple={multiple}."
        )
    if quantile is not None:
        check.fraction("quantile", quantile)
    if multiple is not None:
        check.above("multiple", multiple, 1)
    check_axis_name(axis_name)

    def init(params):
        return ClipByHistoryState(
            norms=jnp.zeros([window], scalar_dtype(params)),
            count=jnp.zeros([], jnp.int32),
        )

    def prepare(updates, state, params):
        check_state(state, ClipByHistoryState)
        norms, count = state
        size = norm(updates, axis_name=axis_name).astype(norms.dtype)
        if multiple is not None:
            limit = multiple * mean_of(norms, count)
            limit = jnp.minimum(limit, jnp.finfo(norms.dtype).max)
            counted = jnp.where(count < least, size, jnp.minimum(size, limit))
        else:
            assert quantile is not None  # one of them is there
            limit, counted = quantile_of(norms, count, quantile), size
        factor = jnp.where(count < least, 1, shrinking(size, limit, limit))
        enters = (size > 0) & jnp.isfinite(size)
        new = ClipByHistoryState(
            norms=jnp.where(enters, entered(norms, counted), norms),
            count=jnp.where(enters, jnp.minimum(count + 1, window), count),
        )
        return Inputs(scalars=(factor,)), lambda: new

    def rule(g, factor):
        return factor * g

    return planned(init, rule, prepare, reads_updates=True)
