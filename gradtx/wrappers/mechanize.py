"""Mechanic: the scale of an optimizer's updates, learned beside it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import check
from gradtx.core.axes import AxisNames, check_axis_name
from gradtx.core.leafwise import initial
from gradtx.core.numerics import after, again, root, safe_increment
from gradtx.core.plan import check_shapes, check_state, lift, need_params
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import is_none, map_present
from gradtx.core.types import Params, Scalar, State, Updates
from gradtx.linesearch.objective import scalar_dtype
from gradtx.tree.norms import norm, sum_of_entries


class MechanicState(NamedTuple):
    base_optimizer_state: State
    count: jax.Array  # steps taken, int32
    r: jax.Array  # reward by beta, (num_betas,), float32 at least
    m: jax.Array  # the largest |h|, likewise
    v: jax.Array  # sum of h^2, likewise
    s: jax.Array  # part of the scale, likewise
    x0: Params  # where it began, shaped like params, float32 at least
    delta: Updates  # sum of updates, float32, see store_delta; None where it is not


@transformation
def mechanize(
    base_optimizer: Any,
    weight_decay: Scalar = 1e-2,
    eps: Scalar = 1e-8,
    s_init: Scalar = 1e-6,
    num_betas: int = 6,
    *,
    store_delta: bool = False,
    axis_name: AxisNames = None,
):
    """Learn the scale of an optimizer's updates: its learning rate need not be found.

        h_t = <g_t + weight_decay s_t |g_t|_2 / (|p_t|_2 + eps) p_t, D_{t-1}>
        r_t = beta r_{t-1} + clip(h_t, -m_{t-1}, m_{t-1}) q_{t-1}
        m_t = max(beta m_{t-1}, |h_t| + eps),   v_t = beta^2 v_{t-1} + h_t^2
        q_t = (s_init / num_betas m_t + max(r_t, 0)) / (sqrt(v_t) + eps)
        D_t = D_{t-1} - u_t,   p_{t+1} = p_0 - s_{t+1} D_t,   s_{t+1} = sum q_t

    with u_t of the base optimizer, and r, m, v and q for each beta of 0.9, 0.99, 0.999
    and so on; s is the sum of the q. Products and norms go over the whole tree. The
    base optimizer has a schedule of rates that begins at 1, say, and may decay weights
    of its own. Where it begins is what `params` are in the first step.

    State: one array per parameter (two with delta), an int32, 4 num_betas numbers, and
    the base optimizer's. `update` needs params.

    Args:
      base_optimizer: the optimizer whose updates are scaled; any but those whose
        updates have a fixed norm (LARS, LAMB).
      weight_decay: at least 0; how much the scale is held back.
      eps: above 0.
      s_init: of the scale, above 0 and far below what it is to become.
      num_betas: how many decays, a whole number from 1.
      store_delta: whether D is kept, for all leaves. If not, it is (p_0 - p_t) / s_t,
        which has few digits as long as s is small; for parameters narrower than
        float32 it would have none, and theirs is kept always.
      axis_name: see `clip_by_global_norm`.

    Raises:
      ValueError: a number out of range, or no params in `update`.
      TypeError: a base_optimizer that is no transformation.

    Source: Cutkosky, Defazio & Mehta, Mechanic: a learning rate tuner (2023),
    algorithm 1; h is clipped as in the authors' program.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.mechanize(gradtx.sgd(1.0))
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    tx = inner_of("mechanize: base_optimizer", base_optimizer)
    check.nonnegative("weight_decay", weight_decay)
    check.positive("eps", eps)
    check.positive("s_init", s_init)
    check.count("num_betas", num_betas, 1)
    check_axis_name(axis_name)
    betas = 1 - 0.1 ** np.arange(1, num_betas + 1)
    decays = not (isinstance(weight_decay, float | int) and weight_decay == 0)
    start, stored = initial(), initial(narrow_only=not store_delta)

    def along(g, p, x0, delta, decay, most):
        g = g + decay * p if decays else g
        before = x0 - p if delta is None else delta
        return _within(jnp.real(jnp.conj(g) * before), most), x0, delta

    def rule(u, p, x0, delta, first, one, share, scale):
        x0 = jnp.where(first, p, x0)
        before = share * (x0 - p) if delta is None else delta
        new = before - one * u
        return x0 - p - scale * new, x0, None if delta is None else new

    products, move = lift(along, with_params=True), lift(rule, with_params=True)

    def init(params):
        dtype = scalar_dtype(params)

        def empty(p):
            slot = stored.init(p)
            return slot if slot is None else jnp.zeros_like(slot)

        return MechanicState(
            base_optimizer_state=tx.init(params),
            count=jnp.zeros([], jnp.int32),
            r=jnp.zeros([num_betas], dtype),
            m=jnp.zeros([num_betas], dtype),
            v=jnp.zeros([num_betas], dtype),
            s=jnp.full([num_betas], s_init, dtype),
            x0=map_present(start.init, params),
            delta=map_present(empty, params),
        )

    def update(updates, state, params=None, **extra):
        check_state(state, MechanicState)
        need_params(params)
        check_shapes(updates, state.x0)
        dtype = state.s.dtype
        first, scale = state.count == 0, jnp.sum(state.s)
        decay = jnp.zeros([], dtype)
        if decays:
            size = norm(params, axis_name=axis_name).astype(dtype)
            # Squares that the base optimizer takes, too, would be stored. Leaf by leaf:
            # together they would all count as split where one is.
            alone = map_present(again, updates)
            length = norm(alone, axis_name=axis_name).astype(dtype)
            ratio = length / (size + eps)
            # Not infinite, which times a parameter of 0 is no number.
            decay = weight_decay * scale * jnp.minimum(ratio, jnp.finfo(dtype).max)
        # Not by scale + eps: with a scale of 1e-6 the sum would fall by 1 % a step.
        share = jnp.where(first, 0, 1) / jnp.maximum(scale, jnp.finfo(dtype).tiny)
        slots = [state.x0, state.delta]
        # What is too large to be squared is the largest number that is not. It is no
        # constant: XLA would make one as large as a leaf, and store it.
        most = after(float(jnp.finfo(dtype).max) ** 0.5, scale)
        found, _ = products(updates, slots, params, [decay, most])
        kept = jax.tree.map(_if_there, state.delta, found, is_leaf=is_none)
        rest = jax.tree.map(_if_not, state.delta, found, is_leaf=is_none)
        h = share * sum_of_entries(rest, axis_name) + sum_of_entries(kept, axis_name)
        h = _within(h.astype(dtype), most)
        numbers = _learned(state, h, jnp.asarray(betas, dtype), eps, s_init)
        u, inner = tx.update(updates, state.base_optimizer_state, params, **extra)
        # What h was computed from is written over after it is known.
        first = first & ~jnp.isnan(h)
        scalars = [first, after(1, h), share, jnp.sum(numbers["s"])]
        u, [x0, delta] = move(u, slots, params, scalars)
        count = safe_increment(state.count)
        return u, MechanicState(inner, count, x0=x0, delta=delta, **numbers)

    return init, update


def _within(x, most):
    return jnp.clip(x, -most, most)


def _if_there(delta, x):
    return None if delta is None else x


def _if_not(delta, x):
    return x if delta is None else None


def _learned(state, h, betas, eps, s_init):
    """The numbers for each beta after a step."""
    most = jnp.finfo(h.dtype).max
    r = betas * state.r + jnp.clip(h, -state.m, state.m) * state.s
    m = jnp.maximum(betas * state.m, jnp.abs(h) + eps)
    v = jnp.minimum(betas**2 * state.v + h * h, most)
    wealth = s_init / len(betas) * m + jnp.maximum(r, 0)
    return {"r": r, "m": m, "v": v, "s": wealth / (root(v) + eps)}
