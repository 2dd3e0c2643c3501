"""APOLLO: gradients scaled as Adam would scale a random projection of them."""

from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.axes import AxisName, check_alone, need_all, need_whole
from gradtx.core.compose import chain
from gradtx.core.leafwise import Slot, filled, slot_dtype
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import (
    abs_sq,
    again,
    divide,
    one_minus_power,
    root,
    safe_increment,
)
from gradtx.core.plan import Inputs, check_state, planned
from gradtx.core.stacks import layer_axes
from gradtx.core.transformation import transformation
from gradtx.core.trees import absent, leaves_of
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByApolloState(NamedTuple):
    count: jax.Array  # steps taken, int32
    # Of a projected n by m matrix, n <= m: rank by m; else shaped like params.
    mu: Updates  # first moment of the projected gradient, float32 at least
    nu: Updates  # second moment, real
    norm: Updates  # of the last scaled gradient, a real number a leaf


@transformation
def scale_by_apollo(
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: Scalar = 1.0,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    mu_dtype: Any = None,
    *,
    scaling: Literal["channel", "tensor"] = "channel",
    max_growth: Scalar | None = 1.01,
    key: chex.PRNGKey | int = 0,
    nu_dtype: Any = None,
    axis_name: AxisName = None,
):
    """Scale a matrix of gradients by what Adam does to a random projection of it.

        R_t = P g_t,   P_ij ~ N(0, 1 / rank)
        A_t = scale_by_adam(R_t)
        X_t = g_t diag(norm_i(A_t) / norm_i(R_t)),   or g_t |A_t|_2 / |R_t|_2
        U_t = X_t min(1, max_growth |U_{t-1}|_2 / |X_t|_2),   U_1 = X_1
        u_t = scale U_t

    for a matrix that is not taller than wide, with the norms of columns, or those of
    matrices for one scale. Of a taller one the columns are projected, and the scales
    are for rows. The size of Adam's step is estimated, and the direction is that of the
    gradient. Norms of projected vectors are those of the vectors, on average. Every
    `update_proj_gap` steps P is drawn anew; the moments stay. P is drawn in each step,
    from the same key, and not kept.

    Leaves that are no matrix, or have an axis not longer than rank, take Adam's step.

    State: for an n by m matrix 2 rank m numbers, one number a leaf and one int32; two
    arrays per parameter where a leaf is not projected.

    Args:
      rank: rows of the projection, above 0; the paper takes a quarter of n.
      update_proj_gap: steps until P is drawn anew, above 0.
      scale: factor of the matrices' updates, a finite number. The fewer rows, the
        smaller is |A| / |R|, by about sqrt(rank / n), which this makes up for.
      b1, b2, eps, mu_dtype, nu_dtype: see `scale_by_adam`.
      scaling: whether s is one number for each "channel" or for each "tensor".
      max_growth: largest ratio of the norms of two scaled gradients in a row, above 0;
        `None` for no limit.
      key: a random key, or an int as a seed; it is not kept in the state. Each leaf has
        its own by its place, and each stretch of `update_proj_gap` steps.
      axis_name: `()` for matrices that differ between devices inside of `shard_map`, of
        which each device has its own, whole; those that are split take `jit` with
        sharded arrays.

    Raises:
      ValueError: a number out of range, another scaling, the name of an axis, or a
        matrix that differs between devices.

    Source: Zhu et al., APOLLO: SGD-like memory, AdamW-level performance (2024),
    algorithm 1, with the norm-growth limiter.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_apollo(rank=2)
      >>> params = jnp.ones((5, 7))
      >>> updates, state = tx.update(jnp.ones((5, 7)), tx.init(params))
      >>> state.mu.shape
      (2, 7)
    """
    check.count("rank", rank, 1)
    check.count("update_proj_gap", update_proj_gap, 1)
    check.finite("scale", scale)
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.choice("scaling", scaling, ("channel", "tensor"))
    if max_growth is not None:
        check.positive("max_growth", max_growth)
    check_alone(axis_name)

    def moments(g, mu, nu, mu_factor, nu_factor):
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * abs_sq(g)
        return divide(mu_factor * mu, root(nu_factor * nu) + eps, eps), mu, nu

    def rule(g, mu, nu, norm, place, key, mu_factor, nu_factor):
        if g.ndim == 2:
            need_all(g, axis_name)
        axis = projected_axis(g, rank)
        if axis is None:
            return *moments(g, mu, nu, mu_factor, nu_factor), norm, place
        key = jax.random.fold_in(key, place)
        for axis_of_layers in layer_axes():
            key = jax.random.fold_in(key, lax.axis_index(axis_of_layers))
        # In float32 whatever the leaf: float64 would be other numbers.
        drawn = jax.random.normal(key, (rank, g.shape[axis]), jnp.float32)
        low = project(g, axis, (drawn / rank**0.5).astype(g.real.dtype))
        found, mu, nu = moments(low, mu, nu, mu_factor, nu_factor)
        over = axis if scaling == "channel" else None
        s = divide(_norm(found, over), _norm(again(low), over), 0)
        factor = scale
        if max_growth is not None:
            other_s, other_g = again((s, g))
            size = _norm(other_s * other_g, None)[0, 0]
            limit = max_growth * norm
            above = (norm > 0) & (size > limit)
            held = jnp.where(above, limit / jnp.where(above, size, 1), 1)
            factor, norm = scale * held, held * size
        return factor * s * g, mu, nu, norm, place

    def moment(dtype, real):
        def init(p):
            kind, axis = slot_dtype(p, dtype, real), projected_axis(p, rank)
            if axis is None:
                return jnp.zeros_like(p, kind)
            drawn = jnp.zeros([rank, p.shape[axis]], slot_dtype(p, real=True))
            low = jax.eval_shape(lambda x: project(x, axis, drawn), p)
            return jnp.zeros_like(low, kind)

        return Slot(init, like_param=False)

    slots = (
        moment(mu_dtype, False),
        moment(nu_dtype, True),
        Slot(lambda p: jnp.zeros([], slot_dtype(p, real=True)), like_param=False),
    )

    def init(params):
        made = (filled(slot, params) for slot in slots)
        return ScaleByApolloState(jnp.zeros([], jnp.int32), *made)

    def prepare(updates, state, params):
        check_state(state, ScaleByApolloState)
        need_whole()
        leaves, treedef = leaves_of(updates)
        places = treedef.unflatten(
            x if absent(x) else jnp.uint32(i) for i, x in enumerate(leaves)
        )
        count = safe_increment(state.count)
        seed = jax.random.key(key) if isinstance(key, int) else key
        now = jax.random.fold_in(seed, state.count // update_proj_gap)
        factors = 1 / one_minus_power(b1, count), 1 / one_minus_power(b2, count)

        def rebuild(mu, nu, norm, places):
            return ScaleByApolloState(count, mu, nu, norm)

        slots = [state.mu, state.nu, state.norm, places]
        return Inputs(slots, (now, *factors)), rebuild

    return planned(init, rule, prepare, slots=("mu", "nu", "norm"))


def projected_axis(x: Any, rank: int) -> int | None:
    """The shorter axis of a matrix, or None if it is no longer than rank."""
    if x.ndim != 2 or min(x.shape) <= rank:
        return None
    return 0 if x.shape[0] <= x.shape[1] else 1


def project(x: jax.Array, axis: int, p: jax.Array) -> jax.Array:
    """P X, or X P^T, which shortens that axis."""
    exact = lax.Precision.HIGHEST
    if axis == 0:
        return jnp.matmul(p, x, precision=exact)
    return jnp.matmul(x, p.T, precision=exact)


def _norm(x: jax.Array, axis: int | None) -> jax.Array:
    return root(jnp.sum(abs_sq(x), axis=axis, keepdims=True))


@transformation
def apollo(
    learning_rate: ScalarOrSchedule,
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: Scalar = 1.0,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
    *,
    scaling: Literal["channel", "tensor"] = "channel",
    max_growth: Scalar | None = 1.01,
    key: chex.PRNGKey | int = 0,
    nu_dtype: Any = None,
    axis_name: AxisName = None,
):
    """APOLLO: `scale_by_apollo`, then weight decay, then the learning rate.

    State: for an n by m matrix 2 rank m numbers, n <= m.

    Args:
      learning_rate: a finite number or a schedule; the paper has 1e-2, ten times
        Adam's.
      rank, update_proj_gap, scale, b1, b2, eps, mu_dtype, scaling, max_growth, key,
        nu_dtype, axis_name: see `scale_by_apollo`.
      weight_decay, mask: see `add_decayed_weights`; decoupled, as in `adamw`.

    Raises:
      ValueError: a number out of range, another scaling, or a mask that does not fit.

    Source: Zhu et al., APOLLO: SGD-like memory, AdamW-level performance (2024),
    algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.apollo(1e-2, rank=2)
      >>> params = jnp.ones((5, 7))
      >>> params, state = tx.step(jnp.ones((5, 7)), tx.init(params), params)
    """
    return chain(
        scale_by_apollo(
            rank,
            update_proj_gap,
            scale,
            b1,
            b2,
            eps,
            mu_dtype,
            scaling=scaling,
            max_growth=max_growth,
            key=key,
            nu_dtype=nu_dtype,
            axis_name=axis_name,
        ),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def apollo_mini(
    learning_rate: ScalarOrSchedule,
    rank: int = 1,
    update_proj_gap: int = 200,
    scale: Scalar = 128**0.5,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
    *,
    max_growth: Scalar | None = 1.01,
    key: chex.PRNGKey | int = 0,
    nu_dtype: Any = None,
    axis_name: AxisName = None,
):
    """APOLLO-Mini: `apollo` of rank one, with one scale for each matrix.

    State: for an n by m matrix 2 m numbers, n <= m.

    Args:
      learning_rate, rank, update_proj_gap, b1, b2, eps, mu_dtype, weight_decay, mask,
        max_growth, key, nu_dtype, axis_name: see `apollo`.
      scale: see `scale_by_apollo`; the paper has sqrt(128).

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Zhu et al., APOLLO: SGD-like memory, AdamW-level performance (2024),
    algorithm 1, with tensor-wise scaling.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.apollo_mini(1e-2)
      >>> params = jnp.ones((5, 7))
      >>> params, state = tx.step(jnp.ones((5, 7)), tx.init(params), params)
      >>> state[0].mu.shape
      (1, 7)
    """
    return apollo(
        learning_rate,
        rank,
        update_proj_gap,
        scale,
        b1,
        b2,
        eps,
        mu_dtype,
        weight_decay,
        mask,
        scaling="tensor",
        max_growth=max_growth,
        key=key,
        nu_dtype=nu_dtype,
        axis_name=axis_name,
    )
