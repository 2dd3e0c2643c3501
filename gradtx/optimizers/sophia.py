"""Sophia: momentum over a running estimate of the Hessian's diagonal, clipped."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisNames, check_axis_name, need_whole
from gradtx.core.branches import one_of
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, slot_dtype, zeros
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import as_float, divide, one_minus_power, safe_increment
from gradtx.core.once import compiled_once
from gradtx.core.plan import check_shapes, check_state, lift, need_params
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import leaves_of
from gradtx.core.types import Scalar, ScalarOrSchedule, State, Updates
from gradtx.linesearch.objective import bound, need_extra, of_moving, say
from gradtx.optimizers.adam import ScaleByAdamState
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate
from gradtx.tree import arithmetic
from gradtx.tree.random import random_like


class HutchinsonState(NamedTuple):
    key: chex.PRNGKey  # the key of the next estimate


@transformation
def hutchinson_estimator_diag_hessian(
    random_seed: chex.PRNGKey | int | None = None, *, axis_name: AxisNames = None
):
    """Put an estimate of the Hessian's diagonal in place of the updates.

        u_t = z_t * (H_t z_t),   z_t of random signs

    Its mean is the diagonal; each entry has a variance of the sum of the squares of
    the others in its row. The product is a derivative of the gradient along z, forward
    over reverse, and costs about as much as two gradients.

    It needs `obj_fn` in `update`, called with the parameters and those of the extra
    arguments that it names; it gives the loss alone, a scalar. Leaves without updates
    are held fixed. On several devices the loss has to be that of all of them.

    State: one random key.

    Args:
      random_seed: a random key, or an int as a seed; `None` is 0.
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`: each
        part has signs of its own.

    Raises:
      ValueError: in `update`, no params or no obj_fn, an axis that is not there, or a
        leaf that differs along one that is not named.
      TypeError: in `update`, complex parameters.

    Source: Hutchinson, A stochastic estimator of the trace of the influence matrix
    (1990); Bekas, Kokiopoulou & Saad, An estimator for the diagonal of a matrix
    (2007), eq. 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> def f(p):
      ...     return 2 * p[0] ** 2 - p[1] ** 2 / 2
      >>> tx = gradtx.hutchinson_estimator_diag_hessian()
      >>> p = jnp.ones(2)
      >>> tx.update(p, tx.init(p), p, obj_fn=f)[0]
      Array([ 4., -1.], dtype=float32)
    """
    check_axis_name(axis_name)

    def init(params):
        seed: Any = 0 if random_seed is None else random_seed
        made = jax.random.key(seed) if isinstance(seed, int) else jnp.copy(seed)
        return HutchinsonState(made)

    @compiled_once
    def update(updates, state, params=None, *, obj_fn: Any = None, **extra):
        need_params(params)
        need_whole()
        check_state(state, HutchinsonState)
        need_extra(obj_fn=obj_fn)
        value, p, moving = of_moving(bound(obj_fn, extra), updates, params)
        leaves, treedef = leaves_of(updates)
        following, used = jax.random.split(state.key)
        signs = leaves_of(
            random_like(
                used, params, jax.random.rademacher, jnp.float32, axis_name=axis_name
            )
        )[0]
        z = [signs[i].astype(x.dtype) for i, x in zip(moving, p, strict=True)]
        _, products = jax.jvp(jax.grad(value), (p,), (z,))
        for i, x, product in zip(moving, z, products, strict=True):
            wide = slot_dtype(x)
            leaves[i] = x.astype(wide) * product.astype(wide)
        return treedef.unflatten(leaves), HutchinsonState(following)

    return init, update


class SophiaState(NamedTuple):
    count: jax.Array  # steps taken, int32
    mu: Updates  # average gradient, shaped like params, float32 at least
    nu: Updates  # average diagonal of the Hessian, likewise, real
    hessian_fn_state: State  # hessian_diagonal_fn's


@transformation
def scale_by_sophia(
    b1: Scalar = 0.965,
    b2: Scalar = 0.99,
    eps: Scalar = 1e-8,
    gamma: Scalar = 0.01,
    clip_threshold: Scalar | None = 1.0,
    update_interval: int = 10,
    hessian_diagonal_fn: Any = hutchinson_estimator_diag_hessian(),  # noqa: B008  a value
    mu_dtype: Any = None,
    verbose: bool = False,
    print_win_rate_every_n_steps: int = 0,
    *,
    nu_dtype: Any = None,
    bias_correction: bool = True,
    fresh: bool = False,
):
    """Divide the average gradient by the Hessian's average diagonal, and clip.

        mu_t = b1 mu_{t-1} + (1 - b1) g_t,   mu^_t = mu_t / (1 - b1^t),   mu_0 = 0
        u_t = clip(mu^_t / max(gamma nu_{t-1}, eps), clip_threshold)
        nu_t = b2 nu_{t-1} + (1 - b2) h_t,   nu_0 = 0

    nu changes in every update_interval-th step, the first among them, in which h_t is
    the estimate of the diagonal. Where the loss curves up the step is a damped
    one of Newton's; where it is flat or curves down it is clip_threshold long, as that
    of sign descent. So is the very first, before there is an estimate.

    `update` needs params, and what hessian_diagonal_fn needs: `obj_fn`, the loss as a
    function of the parameters, for the default. It is called in a branch of `lax.cond`,
    only in steps that estimate.

    State: two arrays per parameter, one int32, and that of hessian_diagonal_fn.

    Args:
      b1: decay of the average gradient, in [0, 1).
      b2: decay of the average diagonal, in [0, 1); it looks back over
        update_interval / (1 - b2) steps.
      eps: least denominator, at least 0 (units: gamma times the Hessian).
      gamma: how large a part of the diagonal divides, above 0. It decides how many
        entries are clipped: the authors raise it until 0.1 to 0.5 of them are not.
      clip_threshold: largest magnitude of an entry, above 0, or `None` for no limit.
      update_interval: steps from one estimate to the next, a whole number from 1.
      hessian_diagonal_fn: a transformation that gives the estimate for an update.
      mu_dtype, nu_dtype: dtypes of the averages; by default the parameter's, at least
        float32.
      verbose: whether to print which part of the entries is not clipped.
      print_win_rate_every_n_steps: how often to print it; 0 is never.
      bias_correction: whether to correct mu for the start from zero.
      fresh: whether a step that estimates divides by nu_t already. Then XLA need not
        keep a copy of nu, 4 bytes a parameter, while it is computed.

    Raises:
      ValueError: a number out of range; in `update`, no params or no obj_fn.
      TypeError: hessian_diagonal_fn is no transformation.

    Source: Liu et al., Sophia: a scalable stochastic second-order optimizer for
    language model pre-training (2023), algorithms 1 and 3. As printed it is
    `fresh=True, bias_correction=False`, and draws z from a normal distribution; the
    defaults are Optax's.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> def f(p):
      ...     return jnp.sum(jnp.array([10.0, 0.1]) * p**2)
      >>> tx = gradtx.scale_by_sophia(gamma=1.0, fresh=True, b2=0.0)
      >>> p = jnp.array([0.5, -0.25])  # to the minimum in one step, as Newton
      >>> u, state = tx.update(jax.grad(f)(p), tx.init(p), p, obj_fn=f)
      >>> bool(jnp.allclose(u, p))
      True
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.positive("gamma", gamma)
    if clip_threshold is not None:
        check.positive("clip_threshold", clip_threshold)
    check.count("update_interval", update_interval, 1)
    check.count("print_win_rate_every_n_steps", print_win_rate_every_n_steps)
    estimator = inner_of("scale_by_sophia: hessian_diagonal_fn", hessian_diagonal_fn)

    def rule(g, mu, nu, factor):
        mu = b1 * mu + (1 - b1) * g
        ahead, below = factor * mu, jnp.maximum(gamma * nu, eps)
        u = divide(ahead, below, eps)
        if clip_threshold is not None:
            check.ordered(g)
            u = jnp.clip(u, -clip_threshold, clip_threshold)
            if not (isinstance(eps, float | int) and eps > 0):
                # As for every eps above 0, however small.
                u = jnp.where(below == 0, clip_threshold * jnp.sign(ahead), u)
        return u, mu, nu

    scaled = lift(rule)
    averaged = lift(lambda h, nu: (h, b2 * nu + (1 - b2) * h.real))
    make, _ = leafwise(
        ScaleByAdamState, rule, mu=zeros(mu_dtype), nu=zeros(nu_dtype, real=True)
    )

    def init(params):
        return SophiaState(*make(params), hessian_fn_state=estimator.init(params))

    def estimated(updates, nu, inner, params, **extra):
        h, inner = estimator.update(updates, inner, params, **extra)
        _, [nu] = averaged(h, [nu])
        return nu, inner

    def as_before(updates, nu, inner, params):
        return nu, inner

    def update(updates, state, params=None, **extra):
        check_state(state, SophiaState)
        need_params(params)
        check_shapes(updates, state.mu)
        count = safe_increment(state.count)
        factor = 1 / one_minus_power(b1, count) if bias_correction else as_float(1)
        now = state.count % update_interval == 0
        nu, inner = state.nu, state.hessian_fn_state
        if fresh:
            operands = updates, nu, inner, params
            nu, inner = one_of(now, estimated, as_before, *operands, **extra)
        new, [mu, nu] = scaled(updates, [state.mu, nu], scalars=(factor,))
        if not fresh:
            operands = updates, nu, inner, params
            nu, inner = one_of(now, estimated, as_before, *operands, **extra)
        if verbose and print_win_rate_every_n_steps and clip_threshold is not None:
            printed = count % print_win_rate_every_n_steps == 0
            say(printed, "win rate {rate}", rate=_share_below(new, clip_threshold))
        return new, SophiaState(count, mu, nu, inner)

    return init, update


def _share_below(updates: Any, limit: Scalar) -> jax.Array:
    """The part of the entries that are smaller than the limit."""
    below = jax.tree.map(lambda u: jnp.sum(jnp.abs(u) < limit, dtype=float), updates)
    return arithmetic.sum(below) / max(arithmetic.size(updates), 1)


@transformation
def sophia(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.965,
    b2: Scalar = 0.99,
    eps: Scalar = 1e-8,
    weight_decay: ScalarOrSchedule = 1e-4,
    weight_decay_mask: MaskOrFn | None = None,
    gamma: Scalar = 0.01,
    clip_threshold: Scalar | None = 1.0,
    update_interval: int = 10,
    hessian_diagonal_fn: Any = hutchinson_estimator_diag_hessian(),  # noqa: B008  a value
    mu_dtype: Any = None,
    verbose: bool = False,
    print_win_rate_every_n_steps: int = 0,
    *,
    nu_dtype: Any = None,
    bias_correction: bool = True,
    fresh: bool = False,
):
    """Sophia: `scale_by_sophia`, then weight decay, then the learning rate.

        update(grads, state, params, obj_fn=loss_of_params)

    An entry moves by learning_rate times clip_threshold at most, and by its decay.
    State: two arrays per parameter, one int32 and one random key.

    Args:
      learning_rate: a finite number or a schedule; about 0.8 of AdamW's.
      b1, b2, eps, gamma, clip_threshold, update_interval, hessian_diagonal_fn,
        mu_dtype, verbose, print_win_rate_every_n_steps, nu_dtype, bias_correction,
        fresh: see `scale_by_sophia`.
      weight_decay: see `add_decayed_weights`; the paper uses 0.2.
      weight_decay_mask: which leaves decay, see `add_decayed_weights`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit; in `update`, no
        params or no obj_fn.
      TypeError: hessian_diagonal_fn is no transformation.

    Source: Liu et al., Sophia: a scalable stochastic second-order optimizer for
    language model pre-training (2023), algorithm 3.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> def loss(p):
      ...     return jnp.sum(p**2)
      >>> tx = gradtx.sophia(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(
      ...     jax.grad(loss)(params), tx.init(params), params, obj_fn=loss
      ... )
    """
    scaling = scale_by_sophia(
        b1,
        b2,
        eps,
        gamma,
        clip_threshold,
        update_interval,
        hessian_diagonal_fn,
        mu_dtype,
        verbose,
        print_win_rate_every_n_steps,
        nu_dtype=nu_dtype,
        bias_correction=bias_correction,
        fresh=fresh,
    )
    return chain(
        scaling,
        add_decayed_weights(weight_decay, weight_decay_mask),
        scale_by_learning_rate(learning_rate),
    )
