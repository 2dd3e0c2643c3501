"""SM3: AdaGrad whose sums are kept for whole rows and columns."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisName, check_alone, need_all
from gradtx.core.compose import chain
from gradtx.core.leafwise import Slot, leafwise, slot_dtype, zeros
from gradtx.core.numerics import abs_sq, again, inverse_root
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleBySM3State(NamedTuple):
    # For each leaf a list: for each of its axes one bound for each index, real; a 0-d
    # leaf has one number.
    mu: Updates
    nu: Updates  # average of the scaled gradients, shaped like params


@transformation
def scale_by_sm3(
    b1: Scalar = 0.9,
    b2: Scalar = 1.0,
    eps: Scalar = 1e-8,
    *,
    axis_name: AxisName = None,
):
    """Divide by the root of a bound on the sum of squares, kept for rows and columns.

        v_t = b2 min(R_{t-1}, C_{t-1}') + (1 - b2) |g_t|^2
        R_t = max_j(v_t),   C_t = max_i(v_t),   R_0 = 0,   C_0 = 0
        u_t = b1 u_{t-1} + (1 - b1) g_t / sqrt(v_t + eps),   u_0 = 0

    with a bound for each row, the largest over its columns j, and one for each column.
    For b2 = 1 the squares have the factor 1, not 1 - b2: then v_t is a sum, as in
    AdaGrad, and at least the sum of all |g_s|^2. Leaves of more axes have a bound
    for each; a vector has AdaGrad's sums. Where v_t is 0, so is the scaled gradient.

    State: for an m by n matrix m + n numbers, and one array per parameter.

    Args:
      b1: decay of the average of scaled gradients, in [0, 1).
      b2: decay of the bounds, in [0, 1]; the paper has 1.
      eps: inside of the root, at least 0. The paper has none: 0 / 0 is 0.
      axis_name: `()` for leaves that differ between devices inside of `shard_map`, of
        which each device has its own, whole; leaves that are split take `jit` with
        sharded arrays.

    Raises:
      ValueError: a number out of range, the name of an axis, or a leaf of two or more
        axes that differs between devices.

    Source: Anil, Gupta, Koren & Singer, Memory-efficient adaptive optimization (2019),
    algorithm SM3-II, the sets of the cover being the slices along each axis, with the
    momentum of its section 5.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_sm3(b1=0.0)
      >>> updates, state = tx.update(jnp.array([[3.0, 4.0]]), tx.init(jnp.ones((1, 2))))
      >>> updates, state.mu
      (Array([[1., 1.]], dtype=float32), [Array([16.], ...), Array([ 9., 16.], ...)])
    """
    check.decay("b1", b1)
    check.fraction("b2", b2)
    check.nonnegative("eps", eps)
    check_alone(axis_name)

    def rule(g, mu, nu):
        if g.ndim > 1:
            need_all(g, axis_name)
        fresh = jnp.where(b2 == 1, 1, 1 - b2)  # b2 may be an array

        def sums(g, *mu):
            over = [_along(bound, i, g.ndim) for i, bound in enumerate(mu)]
            return b2 * functools.reduce(jnp.minimum, over) + fresh * abs_sq(g)

        known = g, *mu
        seen = sums(*known)
        # Not of seen + eps: a bound of 0 means that nothing has been seen.
        scaled = g * inverse_root(jnp.where(seen > 0, seen + eps, 0))
        nu = b1 * nu + (1 - b1) * scaled
        bounds = []
        for axis in range(len(mu)):
            known = again(known)  # each largest of its own sums, which are not stored
            bounds.append(_largest(sums(*known), axis))
        return nu, bounds, nu

    return leafwise(
        ScaleBySM3State,
        rule,
        whole_leaf=True,
        mu=Slot(_bounds, like_param=False),
        nu=zeros(),
    )


def _bounds(p: jax.Array) -> list[jax.Array]:
    dtype = slot_dtype(p, real=True)

    def bound(axis):
        others = tuple(i for i in range(p.ndim) if i != axis)
        like = jax.eval_shape(lambda x: jnp.sum(x, axis=others), p)
        return jnp.zeros_like(like, dtype)

    return [bound(i) for i in range(max(p.ndim, 1))]


def _along(bound: jax.Array, axis: int, ndim: int) -> jax.Array:
    others = [i for i in range(ndim) if i != axis]
    return jnp.expand_dims(bound, others)


def _largest(v: jax.Array, axis: int) -> jax.Array:
    others = tuple(i for i in range(v.ndim) if i != axis)
    return jnp.max(v, axis=others, initial=0) if others else v


@transformation
def sm3(
    learning_rate: ScalarOrSchedule,
    momentum: Scalar = 0.9,
    *,
    b2: Scalar = 1.0,
    eps: Scalar = 1e-8,
    axis_name: AxisName = None,
):
    """SM3: `scale_by_sm3`, then the learning rate.

    State: for an m by n matrix m + n numbers, and one array per parameter.

    Args:
      learning_rate: a finite number or a schedule; the paper warms it up.
      momentum: its `b1`.
      b2, eps, axis_name: see `scale_by_sm3`.

    Raises:
      ValueError: a number out of range.

    Source: Anil, Gupta, Koren & Singer, Memory-efficient adaptive optimization (2019),
    algorithm SM3-II.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.sm3(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    check.decay("momentum", momentum)
    return chain(
        scale_by_sm3(momentum, b2, eps, axis_name=axis_name),
        scale_by_learning_rate(learning_rate),
    )
