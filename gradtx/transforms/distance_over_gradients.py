"""Layer-wise DoG: each leaf has its distance and its gradients."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.axes import AxisName, across, axes_of, names_of, size_of
from gradtx.core.leafwise import Slot, initial, leafwise, slot_dtype
from gradtx.core.numerics import abs_sq, divide, root, window
from gradtx.core.transformation import transformation
from gradtx.core.types import Params, Scalar, Updates
from gradtx.tree.norms import LEAST, norm_at_first


class ScaleByDistanceOverGradientsState(NamedTuple):
    max_dist: Updates  # the largest distance of each leaf, 0-d, float32 at least
    grad_sum_of_squares: Updates  # of all gradients of each leaf, 0-d, float32 at least
    init_params: Params  # where it began, shaped like params, see param_dtype


@transformation
def scale_by_distance_over_gradients(
    reps_rel: Scalar = 1e-6,
    eps: Scalar = 1e-8,
    param_dtype: Any = jnp.float32,
    global_scale: Scalar = 1.0,
    *,
    axis_name: AxisName = None,
):
    """Multiply each leaf by its largest distance over the root of its gradients.

        r_0 = reps_rel (1 + |p_0|),   r_t = max(r_{t-1}, |p_t - p_0|)
        G_t = G_{t-1} + |g_t|^2,      u_t = global_scale r_t / sqrt(G_t + eps) g_t

    Norms go over one leaf; see `scale_by_dog` for all leaves together. What is trained
    is best averaged.

    State: one array and two numbers per leaf. `update` needs params.

    Args:
      reps_rel: of the first distance, above 0; 1e-4 with batch normalisation.
      eps: at least 0, in squared units of the gradient.
      param_dtype: dtype of the stored start. Narrower than the parameter it makes the
        distance of two close points that of their rounding.
      global_scale: a factor; -1 makes the updates lead downhill.
      axis_name: mesh axes over which every leaf is split evenly, inside of `pmap` or
        `shard_map`.

    Raises:
      ValueError: a number or a dtype out of range, or no params in `update`.

    Source: Ivgi, Hinder & Carmon, DoG is SGD's best friend (2023), section 3 (L-DoG).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_distance_over_gradients(reps_rel=0.5, eps=0.0)
      >>> params = jnp.zeros(2)
      >>> tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)[0]
      Array([0.3, 0.4], dtype=float32)
    """
    check.positive("reps_rel", reps_rel)
    check.nonnegative("eps", eps)
    check.finite("global_scale", global_scale)
    names_of(axis_name)

    def first(p):
        size = norm_at_first(p, axis_name)
        return jnp.asarray(reps_rel * (1 + size), slot_dtype(p, real=True))

    def rule(g, p, dist, total, start):
        axes = axes_of(g, axis_name)
        entries = max(g.size, 1) * size_of(axes)
        limit = lax.stop_gradient(jnp.maximum(dist, LEAST))
        scale = window(limit, entries, dist.dtype)
        away = across(jnp.sum(abs_sq(scale * (p - start))), axes)
        dist = jnp.maximum(dist, root(away) / scale)
        total = total + across(jnp.sum(abs_sq(g)), axes)
        total = jnp.minimum(total, jnp.finfo(total.dtype).max)
        rate = global_scale * divide(dist, root(total + eps), eps)
        return rate * g, dist, total, start

    return leafwise(
        ScaleByDistanceOverGradientsState,
        rule,
        with_params=True,
        whole_leaf=True,
        max_dist=Slot(first, like_param=False),
        grad_sum_of_squares=Slot(
            lambda p: jnp.zeros([], slot_dtype(p, real=True)), like_param=False
        ),
        init_params=initial(param_dtype),
    )
