"""How parameters narrower than float32 are written, so that no step is lost."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import join
from gradtx.core.encoded import seed_of
from gradtx.core.examples import like
from gradtx.core.leafwise import initial
from gradtx.core.numerics import safe_increment
from gradtx.core.plan import (
    Inputs,
    Plan,
    check_state,
    need_params,
    plan_of,
    updating,
)
from gradtx.core.rules import Rule, is_narrow
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import absent, dtype_of, failure, leaves_of, paths_of, with_shape
from gradtx.core.types import Updates
from gradtx.precision.rounding import NARROW, joined, noise, parted, rounded

POLICIES = ("master", "stochastic", "kahan", "residual")
_SLOT = 255  # beside the numbers of the slots whose codes are rounded


class WriteState(NamedTuple):
    count: jax.Array  # steps taken, int32: how a step is rounded
    kept: Updates  # what a parameter has not room for, None of float32 and wider
    inner_state: Any  # the inner transformation's


@transformation
def write(inner: Any, policy: str):
    """Write parameters of 16 bits so that small steps are not lost.

    With p + u rounded to the nearest bfloat16, as `apply_updates` does, a step of less
    than p / 256 changes nothing, however often it is taken. The policies, with
    N(x) the number next to x and R(x) one of the two beside it, at random such that on
    average it is x:

        master       m' = m + u,   p' = N(m')                    m float32, m_0 = p_0
        stochastic   p' = R(p + u)
        kahan        y = u + c,   p' = N(p + y),   c' = R(y - (p' - p))        c like p
        residual     (p', r') = R24(p + r + u)                           r of 8 bits

    R24 rounds to the upper 24 bits of a float32, which a bfloat16 and 8 bits more, in
    the 256th part of its step, hold. Sums are taken in float32. The random bits come
    from p + u, its place in the leaf (modulo 32) and the count of steps: a run goes on
    bit for bit after a stop, and on every mesh whose shares are multiples of 32. NaN
    and infinity stay what they are, and no finite number is rounded to infinity, but
    for those from 65536 on in float16.

    `step` writes p'. `update` can only hand out p' - p in float32, which leads there
    (but for p' below p / 2^15) if it is applied as it is; nothing may change it, so
    this is the outermost of what changes updates, and the last in a chain. As the state
    holds what p is off by, other writes to p are lost ("master") or moved by as much.
    Parameters of float32 and wider and complex ones are written as ever, and have no
    state.

    State: the inner one; per parameter 4 bytes ("master"), 2 ("kahan"), 1 ("residual")
    or 0 ("stochastic"); one int32. Temporaries: 2 bytes with "kahan" and "residual" on
    a CPU, where the old parameter is copied, of which both new numbers are made. With
    `quantize_state` write `quantize_state(write(tx, policy))`: then all is one loop.
    `update` needs params.

    Args:
      inner: the transformation, with learning rate and all.
      policy: "master", "stochastic", "kahan" or "residual", of which the last is for
        bfloat16 only, and the middle two for float16 as well. Without memory to spare
        "stochastic", which adds noise; with a byte of it "residual", as good as
        "master" but for the last 8 bits, which are on average right.

    Raises:
      ValueError: another policy; policies within each other, or something behind one.
      TypeError: if inner is not a transformation, or a parameter of a dtype that the
        policy is not for; it is named.

    Source: Micikevicius et al., Mixed precision training (2018), section 3.1 (master);
    Zamirai et al., Revisiting BFloat16 training (2021), algorithms 2 (stochastic) and 3
    (kahan; the compensation is rounded at random here); residual after FlashOptim
    (2026), with 256 steps and random rounding, where there it is 254 and the nearest.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.write(gradtx.sgd(1e-3), "residual")
      >>> params = jnp.ones(1, jnp.bfloat16)
      >>> state = tx.init(params)
      >>> for _ in range(100):
      ...     params, state = tx.step(jnp.ones_like(params), state, params)
      >>> params, state.kept.dtype
      (Array([0.898438], dtype=bfloat16), dtype('int8'))
    """
    tx = inner_of("write: inner", inner)
    check.choice("policy", policy, POLICIES)

    def init(params):
        kept = [_kept(policy, x, path) for path, x in paths_of(params)]
        treedef = leaves_of(params)[1]
        state = tx.init(params)
        _check_once(state)
        return WriteState(jnp.zeros([], jnp.int32), treedef.unflatten(kept), state)

    def prepare(updates, state, params):
        need_params(params)
        count = safe_increment(state.count)

        def rebuild(new):
            return WriteState(count, new[0][0], state.inner_state)

        return [Inputs([state.kept], (count,))], rebuild

    swaps = policy in ("kahan", "residual")
    rule = Rule(
        *(_RULES[policy], True, ("kept",)),
        last=("kept",) if swaps else (),
        twice=swaps,
        entrywise=True,
        writes=True,
    )
    own, plan = Plan([rule], prepare), plan_of(tx.update)

    def done(inner_state, state):
        return state._replace(inner_state=inner_state)

    if plan is not None:
        both = join([plan, own])

        def prepare_both(updates, state, params):
            check_state(state, WriteState)
            given = state.inner_state, state
            inputs, rebuild = both.prepare(updates, given, params)
            return inputs, lambda new: done(*rebuild(new))

        return init, updating(both.replace(prepare_both))

    def run(apply, updates, state, params, extra):
        check_state(state, WriteState)
        updates, inner_state = tx.update(updates, state.inner_state, params, **extra)
        result, state = own(updates, state, params, apply=apply)
        return result, done(inner_state, state)

    def update(updates, state, params=None, **extra):
        return run(False, updates, state, params, extra)

    def step(updates, state, params, **extra):
        return run(True, updates, state, params, extra)

    return init, like(update, tx), step


def _plus(p: jax.Array, u: jax.Array) -> jax.Array:
    """p + u; for 0 itself p, since denormals may not be added as they are."""
    return jnp.where(u == 0, p, p + u)


def _single(fn: Any) -> Any:
    """The rule in float32, also where gradients are wider."""

    @functools.wraps(fn)
    def rule(g, *args, dtype, tiled):
        *formula, p, kept, count = args
        seed = seed_of(count, _SLOT)
        p = p.astype(jnp.float32)
        if kept is not None and kept.dtype == jnp.float64:
            kept = kept.astype(jnp.float32)

        def given(g):
            return fn(g.astype(jnp.float32), p, kept, bits, dtype)

        def bits(x):
            return noise(x, seed, tiled)

        if not formula or formula[0] is None:
            return given(g)
        # Made twice it need not be stored, which is 4 bytes for each parameter.
        return given(g)[0], given(formula[0].again())[1]

    return rule


@_single
def _master(g, p, kept, bits, dtype):
    new = _plus(kept, g)
    return (rounded(new, dtype) if dtype in NARROW else new.astype(dtype)), new


@_single
def _stochastic(g, p, kept, bits, dtype):
    x = _plus(p, g)
    return rounded(x, dtype, bits(x)), None


@_single
def _kahan(g, p, kept, bits, dtype):
    y = _plus(kept, g)
    x = _plus(p, y)
    new = rounded(x, dtype)
    left = y - (new - p)
    left = jnp.where(jnp.isfinite(left), left, 0)
    # By the bits of the sum: those of what is left may be the same ones for long.
    return new, rounded(left, dtype, bits(x))


@_single
def _residual(g, p, kept, bits, dtype):
    x = _plus(joined(p, kept), g)
    return parted(x, bits(x))


_RULES = {
    "master": _master,
    "stochastic": _stochastic,
    "kahan": _kahan,
    "residual": _residual,
}


def _kept(policy: str, p: Any, path: str) -> Any:
    """What a parameter's state is at first."""
    if absent(p) or not is_narrow(dtype_of(p)):
        return None
    dtype = dtype_of(p)
    fit = [jnp.dtype(jnp.bfloat16)] if policy == "residual" else list(NARROW)
    if policy != "master" and dtype not in fit:
        raise failure(
            f"policy {policy!r} is for {' and '.join(map(str, fit))}, and params{path} "
            f"is {dtype}. Take another one, such as 'master', or mask the leaf.",
            TypeError,
        )
    if policy == "stochastic":
        return None
    if policy == "master":
        return initial().init(with_shape(p))
    return jnp.zeros_like(p, jnp.int8 if policy == "residual" else dtype)


def _check_once(state: Any) -> None:
    """Raise if something inside writes the parameters, too."""

    def writes(x: Any) -> bool:
        return isinstance(x, WriteState)

    if any(map(writes, jax.tree.leaves(state, is_leaf=writes))):
        raise failure(
            "there is a policy inside already: a parameter is written once, so take "
            "one of the two away."
        )
