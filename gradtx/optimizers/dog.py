"""DoG: the distance so far over the gradients so far is the learning rate."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gradtx.core import check
from gradtx.core.axes import AxisNames, check_axis_name
from gradtx.core.compose import chain
from gradtx.core.leafwise import initial
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import divide, root
from gradtx.core.plan import (
    Inputs,
    check_shapes,
    check_state,
    lift,
    need_params,
    planned,
)
from gradtx.core.transformation import transformation
from gradtx.core.trees import map_present
from gradtx.core.types import Params, Scalar, ScalarOrSchedule
from gradtx.linesearch.objective import scalar_dtype
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate
from gradtx.transforms.stateless import identity
from gradtx.tree.norms import LEAST, norm_above, norm_at_first, sum_of_squares

InitStep = tuple[Literal["distance", "learning_rate", "heuristic"], Scalar]
INIT_STEPS = "distance", "learning_rate", "heuristic"


class DoGState(NamedTuple):
    is_init_step: jax.Array  # whether no step was taken, bool
    init_params: Params  # where it began, shaped like params, float32 at least
    max_dist: jax.Array  # the largest distance from there, float32 at least
    sum_sq_norm_grads: jax.Array  # of all gradients up to now, float32 at least


class DoWGState(NamedTuple):
    init_params: Params  # where it began, shaped like params, float32 at least
    weighted_sq_norm_grads: jax.Array  # sum of |g|^2 r^2, float32 at least
    estim_sq_dist: jax.Array  # the largest squared distance, float32 at least


_away = lift(lambda g, p, start: (p - start, start), with_params=True)


def _farther(updates, params, start, least, axis_name, power=1 / 2):
    """The distance from the start, or `least` where that is larger.

    It is the largest number to a power at most: its own power over the root of a sum
    that is out of range, the largest number's, is then a rate of 1 at most, and a
    gradient times it in range.
    """
    away, _ = _away(updates, [start], params)
    # The window is no part of the result, nor of its derivatives.
    limit = lax.stop_gradient(jnp.maximum(least, LEAST))
    dist = norm_above(away, limit, axis_name).astype(least.dtype)
    most = np.asarray(float(jnp.finfo(dist.dtype).max) ** power, dist.dtype)
    return lax.clamp(least, dist, most)


def _added(total, more):
    """The sum; one that is out of range is the largest number, not infinity."""
    return jnp.minimum(total + more.astype(total.dtype), jnp.finfo(total.dtype).max)


@transformation
def scale_by_dog(
    init_step: InitStep, eps: Scalar = 1e-8, *, axis_name: AxisNames = None
):
    """Multiply by the largest distance so far over the root of all squared gradients.

        r_t = max(r_{t-1}, |p_t - p_0|_2),   G_t = G_{t-1} + |g_t|_2^2
        u_t = r_t / sqrt(G_t + eps) g_t

    Norms go over the whole tree. What is trained is best averaged; see the guide.

    State: one array per parameter, a bool and two numbers. `update` needs params.

    Args:
      init_step: how it begins: `("heuristic", a)` with r_0 = a (1 + |p_0|_2), where the
        paper has a = 1e-6, and 1e-4 with batch normalisation; `("distance", r_0)`; or
        `("learning_rate", rate)`, which is the factor of the first step. Small, or the
        first step leads astray.
      eps: at least 0, in squared units of the gradient.
      axis_name: see `clip_by_global_norm`.

    Raises:
      ValueError: a number out of range, another init_step, or no params in `update`.

    Source: Ivgi, Hinder & Carmon, DoG is SGD's best friend (2023), eq. 1-3.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_dog(("distance", 0.5), eps=0.0)
      >>> params = jnp.zeros(2)
      >>> tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)[0]
      Array([0.3, 0.4], dtype=float32)
    """
    if not isinstance(init_step, tuple | list) or len(init_step) != 2:
        raise ValueError(
            f"init_step must be a pair of one of {INIT_STEPS} and a number, got "
            f"{init_step!r}."
        )
    kind, first = init_step
    check.choice("init_step[0]", kind, INIT_STEPS)
    check.positive("init_step[1]", first)
    check.nonnegative("eps", eps)
    check_axis_name(axis_name)
    start = initial()

    def init(params):
        dtype = scalar_dtype(params)
        dist = {"distance": first, "learning_rate": 0.0}.get(kind)
        if dist is None:
            dist = first * (1 + norm_at_first(params, axis_name))
        return DoGState(
            is_init_step=jnp.ones([], bool),
            init_params=map_present(start.init, params),
            max_dist=jnp.array(dist, dtype),
            sum_sq_norm_grads=jnp.zeros([], dtype),
        )

    def prepare(updates, state, params):
        check_state(state, DoGState)
        need_params(params)
        check_shapes(updates, state.init_params)
        dist = _farther(updates, params, state.init_params, state.max_dist, axis_name)
        total = _added(state.sum_sq_norm_grads, sum_of_squares(updates, axis_name))
        rate = divide(dist, root(total + jnp.asarray(eps, total.dtype)), eps)
        if kind == "learning_rate":
            rate = jnp.where(state.is_init_step, jnp.asarray(first, rate.dtype), rate)
        new = DoGState(jnp.zeros([], bool), state.init_params, dist, total)
        return Inputs(scalars=(rate,)), lambda: new

    return planned(
        *(init, lambda g, rate: rate * g, prepare), reads_updates=True, entrywise=True
    )


@transformation
def dog(
    learning_rate: ScalarOrSchedule = 1.0,
    init_step: InitStep = ("heuristic", 1e-6),
    eps: Scalar = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    mask: MaskOrFn | None = None,
    *,
    axis_name: AxisNames = None,
):
    """DoG: L2 regularisation, `scale_by_dog`, then a factor.

    No rate need be found: it grows from almost nothing to about the distance to the
    optimum over the root of all squared gradients. State: one array per parameter, a
    bool and two numbers.

    Args:
      learning_rate: a factor, finite, or a schedule; 1 as in the paper.
      init_step, eps, axis_name: see `scale_by_dog`.
      weight_decay, mask: see `add_decayed_weights`; coupled: it is added to the
        gradient. `None` for none.

    Raises:
      ValueError: a number out of range, another init_step, or no params in `update`.

    Source: Ivgi, Hinder & Carmon, DoG is SGD's best friend (2023), eq. 1-3.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.dog()
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        *_decay(weight_decay, mask),
        scale_by_dog(init_step, eps, axis_name=axis_name),
        scale_by_learning_rate(learning_rate),
    )


def _decay(weight_decay, mask):
    none = weight_decay is None
    return [identity() if none else add_decayed_weights(weight_decay, mask)]


@transformation
def scale_by_dowg(
    init_estim_sq_dist: Scalar | None = None,
    eps: Scalar = 1e-4,
    *,
    axis_name: AxisNames = None,
):
    """Multiply by the squared distance over the root of gradients weighted by it.

        r_t = max(r_{t-1}, |p_t - p_0|_2),   v_t = v_{t-1} + r_t^2 |g_t|_2^2
        u_t = r_t^2 / (sqrt(v_t) + eps) g_t

    Unlike DoG's, late gradients count more, and the rate may be larger.

    State: one array per parameter and two numbers. `update` needs params.

    Args:
      init_estim_sq_dist: r_0^2, above 0; `None` for eps.
      eps: at least 0, above where it is r_0^2, too.
      axis_name: see `clip_by_global_norm`.

    Raises:
      ValueError: a number out of range, or no params in `update`.

    Source: Khaled, Mishchenko & Jin, DoWG unleashed (2023), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_dowg(0.25, eps=0.0)
      >>> params = jnp.zeros(2)
      >>> tx.update(jnp.array([3.0, 4.0]), tx.init(params), params)[0]
      Array([0.3, 0.4], dtype=float32)
    """
    if init_estim_sq_dist is None:
        check.positive("eps", eps)
    else:
        check.positive("init_estim_sq_dist", init_estim_sq_dist)
        check.nonnegative("eps", eps)
    check_axis_name(axis_name)
    start = initial()

    def init(params):
        dtype = scalar_dtype(params)
        first = eps if init_estim_sq_dist is None else init_estim_sq_dist
        return DoWGState(
            init_params=map_present(start.init, params),
            weighted_sq_norm_grads=jnp.zeros([], dtype),
            estim_sq_dist=jnp.array(first, dtype),
        )

    def prepare(updates, state, params):
        check_state(state, DoWGState)
        need_params(params)
        check_shapes(updates, state.init_params)
        least = root(state.estim_sq_dist)
        dist = _farther(updates, params, state.init_params, least, axis_name, 1 / 4)
        # Not the square of the root, which may be smaller than what it is of.
        squared = jnp.where(dist > least, dist * dist, state.estim_sq_dist)
        norm = sum_of_squares(updates, axis_name).astype(squared.dtype)
        total = _added(state.weighted_sq_norm_grads, squared * norm)
        rate = divide(squared, root(total) + jnp.asarray(eps, total.dtype), eps)
        new = DoWGState(state.init_params, total, squared)
        return Inputs(scalars=(rate,)), lambda: new

    return planned(
        *(init, lambda g, rate: rate * g, prepare), reads_updates=True, entrywise=True
    )


@transformation
def dowg(
    learning_rate: ScalarOrSchedule = 1.0,
    init_estim_sq_dist: Scalar | None = None,
    eps: Scalar = 1e-4,
    weight_decay: ScalarOrSchedule | None = None,
    mask: MaskOrFn | None = None,
    *,
    axis_name: AxisNames = None,
):
    """DoWG: L2 regularisation, `scale_by_dowg`, then a factor.

    State: one array per parameter and two numbers.

    Args:
      learning_rate: a factor, finite, or a schedule; 1 as in the paper.
      init_estim_sq_dist, eps, axis_name: see `scale_by_dowg`.
      weight_decay, mask: see `dog`.

    Raises:
      ValueError: a number out of range, or no params in `update`.

    Source: Khaled, Mishchenko & Jin, DoWG unleashed (2023), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.dowg()
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    return chain(
        *_decay(weight_decay, mask),
        scale_by_dowg(init_estim_sq_dist, eps, axis_name=axis_name),
        scale_by_learning_rate(learning_rate),
    )
