"""StableAdamW: AdamW that holds back where the gradient is larger than expected."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisName, across, axes_of, names_of, need_whole, size_of
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.masking import MaskOrFn, resolve_mask
from gradtx.core.numerics import (
    abs_sq,
    again,
    divide,
    one_minus_power,
    root,
    safe_increment,
    value_at,
)
from gradtx.core.plan import Inputs, check_shapes, check_state, planned
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.optimizers.adam import ScaleByAdamState
from gradtx.transforms.scale import scale_by_learning_rate


@transformation
def scale_by_stable_adamw(
    b1: Scalar = 0.9,
    b2: Scalar = 0.99,
    eps: Scalar = 1e-6,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: MaskOrFn | None = None,
    *,
    nu_dtype: Any = None,
    axis_name: AxisName = None,
):
    """Adam with weight decay, each leaf shrunk by how much its gradient surprises.

        mu^_t, nu^_t as in scale_by_adam
        rms_t^2 = mean(|g_t|^2 / max(nu^_t, eps^2))   (over the leaf)
        u_t = (mu^_t / (sqrt(nu^_t) + eps) + weight_decay p) / max(1, rms_t)

    The paper finds rms_t to be large, several steps before the loss jumps, where the
    second moment still knows small gradients only.

    State: two arrays per parameter and one int32. `update` needs params.

    Args:
      b1, b2: decays of the moments, in [0, 1).
      eps: outside of the root, and least root in rms_t, at least 0 (units: gradient).
      mu_dtype, nu_dtype: dtypes of the moments, see `scale_by_adam`.
      weight_decay: at least 0, or a schedule; shrunk like the rest.
      mask: which leaves decay, see `add_decayed_weights`.
      axis_name: mesh axes over which every leaf is split evenly, inside of `pmap` or
        `shard_map`; see `clip_by_block_rms`.

    Raises:
      ValueError: a number out of range, no params, a mask that does not fit, an axis
        that is not there, or a leaf that differs along one that is not named.

    Source: Wortsman et al., Stable and low-precision training for large-scale
    vision-language models (2023), algorithm 2; its moments are the corrected ones.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_stable_adamw(b1=0.0, b2=0.75, weight_decay=0.0)
      >>> params = jnp.ones(2)
      >>> _, state = tx.update(jnp.ones(2), tx.init(params), params)
      >>> update, state = tx.update(jnp.full(2, 9.0), state, params)
      >>> update.round(4)  # Adam without shrinking: 1.31
      Array([1., 1.], dtype=float32)
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    if not callable(weight_decay):
        check.nonnegative("weight_decay", weight_decay)
    names_of(axis_name)
    none = isinstance(weight_decay, float | int) and weight_decay == 0

    def rule(g, p, mu, nu, *rest):
        *decays, mu_factor, nu_factor, decay = rest
        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * abs_sq(g)
        other, factor, least = again((nu, nu_factor, jnp.asarray(eps, nu.dtype)))
        least = jnp.maximum(root(factor * other), least)
        surprise = divide(g, least, eps)  # not |g|^2 over a square: both may be inf
        axes = axes_of(g, axis_name)
        entries = max(g.size, 1) * size_of(axes)
        rms = root(across(jnp.sum(abs_sq(surprise)), axes) / entries)
        step = divide(mu_factor * mu, root(nu_factor * nu) + eps, eps)
        if not none:
            step = step + (decays[0] * decay if decays else decay) * p
        return 1 / jnp.maximum(rms, 1) * step, mu, nu, *decays

    init, _ = leafwise(
        ScaleByAdamState, rule, mu=zeros(mu_dtype), nu=zeros(nu_dtype, real=True)
    )

    def prepare(updates, state, params):
        check_state(state, ScaleByAdamState)
        need_whole()
        check_shapes(updates, state.mu)
        count = safe_increment(state.count)
        decay = weight_decay
        if callable(weight_decay):
            decay = value_at("weight_decay", weight_decay, state.count)
        slots = [state.mu, state.nu]
        if mask is not None:
            chosen = resolve_mask(mask, params)
            slots.append(jax.tree.map(lambda keep: jnp.float32(keep), chosen))
        factors = 1 / one_minus_power(b1, count), 1 / one_minus_power(b2, count)

        def rebuild(mu, nu, *decays):
            return ScaleByAdamState(count, mu, nu)

        return Inputs(slots, (*factors, decay)), rebuild

    return planned(init, rule, prepare, with_params=True)


@transformation
def stable_adamw(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.99,
    eps: Scalar = 1e-6,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: MaskOrFn | None = None,
    *,
    nu_dtype: Any = None,
    axis_name: AxisName = None,
):
    """StableAdamW: `scale_by_stable_adamw`, then the learning rate.

    In effect `adamw` with a learning rate of its own for each leaf and step.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate: a finite number or a schedule.
      b1, b2, eps, mu_dtype, weight_decay, mask, nu_dtype, axis_name: see
        `scale_by_stable_adamw`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Wortsman et al., Stable and low-precision training for large-scale
    vision-language models (2023), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.stable_adamw(0.1, weight_decay=0.5)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.array([5.0, -0.1]), tx.init(params), params)
      >>> [round(float(p), 4) for p in params]
      [0.85, 2.0]
    """
    return chain(
        scale_by_stable_adamw(
            b1,
            b2,
            eps,
            mu_dtype,
            weight_decay,
            mask,
            nu_dtype=nu_dtype,
            axis_name=axis_name,
        ),
        scale_by_learning_rate(learning_rate),
    )
