"""Hyperball: weights of a fixed norm, and steps of a fixed length on it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import check
from gradtx.core.axes import AxisName, MissingAxisError, axes_of, names_of
from gradtx.core.compose import chain
from gradtx.core.leafwise import Slot, filled, slot_dtype
from gradtx.core.masking import MaskOrFn, resolve_mask, stands_for_all
from gradtx.core.numerics import divide, now, safe_increment, select
from gradtx.core.plan import Inputs, check_state, planned
from gradtx.core.rules import Formula
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import is_abstract, is_none
from gradtx.core.types import ScalarOrSchedule
from gradtx.tree.norms import leaf_norm
from gradtx.wrappers.rates import check_no_decay, rate_of


class KeepNormsState(NamedTuple):
    # The norm of each leaf at the start, 0-d, real, float32 at least; None where a leaf
    # is free.
    norm: Any
    count: jax.Array  # steps taken, int32


@transformation
def hyperball(
    inner: Any,
    learning_rate: ScalarOrSchedule | None = None,
    *,
    mask: MaskOrFn | None = None,
    axis_name: AxisName = None,
):
    """Keep the norm of every matrix, and turn it by the same angle in each step.

        R = |p_0|,   q = p_{t-1} + eta_t R u_t / |u_t|,   p_t = R q / |q|

    where u_t is the optimizer's step, which leads down, of which the length does not
    count, and the norms are those of a leaf (Frobenius'). It stands in place of a
    weight decay: that would let the norm settle where both balance, and only by that
    the angle, sqrt(2 rate decay) or so, be what it is.

    A leaf of zeros has no norm to keep and takes the optimizer's steps as they are, as
    do all that are left out. A step of zeros moves nothing. Layers that are stacked in
    one leaf, as for `scan`, have one norm together.

    State: the inner one, a number for each matrix, and one int32. `update` needs
    params.

    Args:
      inner: the optimizer. A `weight_decay` of its own must be 0.
      learning_rate: eta_t, the part of its norm by which a leaf moves; the root of rate
        times decay of the optimizer before is a first guess. By default that of the
        `scale_by_learning_rate` in the optimizer's chain.
      mask: which leaves keep their norm, as in `add_decayed_weights`. By default those
        of two dimensions and more. Embeddings and the output layer are commonly left
        out, gains and biases always.
      axis_name: mesh axes over which every leaf is split, see `clip_by_block_rms`.

    Raises:
      ValueError: a learning rate that cannot be found, an optimizer with a decay of its
        own, no params in `update`, or a mask that does not fit.
      TypeError: if inner is not a transformation.

    Source: Wen et al., Fantastic pretraining optimizers and where to find them II:
    hyperball optimization (2026), in the form of the authors' notes of 2025.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.hyperball(gradtx.sgd(0.75))
      >>> params = jnp.array([[3.0, 4.0]])
      >>> params, state = tx.step(jnp.array([[-8.0, 6.0]]), tx.init(params), params)
      >>> [round(float(x), 4) for x in params[0]]
      [4.8, 1.4]
    """
    tx = inner_of("hyperball: inner", inner)
    check_no_decay("hyperball", tx)
    rate = rate_of("hyperball", tx, learning_rate)
    return chain(tx, keep_norms(rate, mask, axis_name=axis_name))


@transformation
def keep_norms(
    learning_rate: ScalarOrSchedule,
    mask: MaskOrFn | None = None,
    *,
    axis_name: AxisName = None,
):
    """Turn a step downhill into one on the sphere of a leaf's first norm.

    See `hyperball`, whose last member it is.

    State: a number for each matrix, and one int32. `update` needs params.

    Raises:
      ValueError: a rate that is not finite, no params, or a mask that does not fit.
    """
    check.learning_rate("learning_rate", learning_rate)
    names_of(axis_name)

    def norm(p):
        dtype = slot_dtype(p, real=True)
        if is_abstract(p):
            return jnp.zeros([], dtype)
        x = jnp.asarray(p).astype(slot_dtype(p))
        try:
            return leaf_norm(x, axes_of(x, axis_name)).astype(dtype)
        except MissingAxisError:  # outside of the axes, with whole leaves
            return leaf_norm(x).astype(dtype)

    def chosen(params):
        return resolve_mask(is_matrix if mask is None else mask, params)

    def init(params):
        if not stands_for_all(params):
            keep = chosen(params)
            params = jax.tree.map(
                lambda k, p: p if k else None, keep, params, is_leaf=is_none
            )
        return KeepNormsState(
            filled(Slot(norm, like_param=False), params), jnp.zeros([], jnp.int32)
        )

    def prepare(updates, state, params):
        check_state(state, KeepNormsState)
        rate = now("learning_rate", learning_rate, state.count)
        new = safe_increment(state.count)
        inputs = Inputs([state.norm], (rate,), mask=chosen(params))
        return inputs, lambda norms: KeepNormsState(norms, new)

    def rule(u, formula, p, first, rate):
        axes = axes_of(u, axis_name)
        length = leaf_norm(formula or u, axes)
        # 1 / length is finite from the smallest normal number on.
        free = (first == 0) | (length < float(jnp.finfo(length.dtype).tiny))
        one = np.ones((), first.dtype)
        inverse, far = 1 / select(free, one, length), rate * first
        size = leaf_norm(_moved(p, u, formula, inverse, far), axes)
        shorter = divide(first, size, 0)
        # Chosen as numbers: XLA would store both leaves to choose between them.
        kept, gone = select(free, 0, shorter - 1), select(free, one, shorter * far)
        return kept * p + gone * (inverse * u), first

    return planned(init, rule, prepare, with_params=True, twice=True, slots=("norm",))


def _moved(p: Any, u: Any, formula: Formula | None, inverse: Any, far: Any) -> Any:
    """p + far inverse u, as a formula if u is one: it is made twice, not stored."""
    if formula is None:
        return p + far * (inverse * u)

    def dear(p: Any, inverse: Any, far: Any, *parts: Any) -> Any:
        return p + far * (inverse * formula.dear(*parts))

    def cheap(p: Any, inverse: Any, far: Any, *arrays: Any) -> tuple[Any, ...]:
        return p, inverse, far, *formula.cheap(*arrays)

    return Formula(dear, cheap, (p, inverse, far, *formula.arrays))


def is_matrix(params: Any) -> Any:
    """A mask: the leaves of two dimensions and more."""
    return jax.tree.map(lambda p: np.ndim(p) > 1, params)
