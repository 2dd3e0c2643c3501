"""SGD and AdamW, schedule-free."""

from typing import Any

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.numerics import as_float, divide, one_minus_power, root
from gradtx.core.plan import lift
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.optimizers.rmsprop import scale_by_rms
from gradtx.optimizers.sgd import sgd
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate
from gradtx.transforms.schedule_free import averaging, schedule_free


def _warmed(learning_rate: ScalarOrSchedule, warmup_steps: Any) -> ScalarOrSchedule:
    """The rate, over the first steps 1/k, 2/k, ..., 1 of it: the first step moves."""
    if warmup_steps is None:
        return learning_rate
    check.count("warmup_steps", warmup_steps, 1)

    def rate(count):
        part = jnp.minimum((as_float(count) + 1) / warmup_steps, 1)
        full = learning_rate(count) if callable(learning_rate) else learning_rate
        return part * full

    return rate


@transformation
def schedule_free_sgd(
    learning_rate: ScalarOrSchedule = 1.0,
    warmup_steps: int | None = None,
    b1: Scalar = 0.9,
    weight_decay: ScalarOrSchedule | None = None,
    weight_lr_power: Scalar = 2.0,
    state_dtype: Any = None,
):
    """Schedule-free SGD: `schedule_free` of weight decay and `sgd`.

        z_{t+1} = z_t - rate_t (g_t + weight_decay y_t)
        rate_t = learning_rate min(1, t / warmup_steps)

    with x and y as in `schedule_free`. State: one array per parameter (two for narrow
    ones), two int32 and three numbers.

    Args:
      learning_rate: a finite number or a schedule; larger than SGD's, by up to ten.
      warmup_steps: steps from 1 / warmup_steps of the rate to the whole; `None` for
        none.
      b1, weight_lr_power, state_dtype: see `schedule_free`. 0.95 and 0.98 for long
        trainings.
      weight_decay: at least 0, or a schedule; of the parameters, y. `None` for none.

    Raises:
      ValueError: a number out of range, or no params in `update`.

    Source: Defazio et al., The road less scheduled (2024), eq. 8-10.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.schedule_free_sgd(0.5)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
      >>> averaged = gradtx.schedule_free_eval_params(state, params)
    """
    rate = _warmed(learning_rate, warmup_steps)
    base = sgd(rate)
    if weight_decay is not None:
        base = chain(add_decayed_weights(weight_decay), base)
    return schedule_free(base, rate, b1, weight_lr_power, state_dtype)


@transformation
def schedule_free_adamw(
    learning_rate: ScalarOrSchedule = 0.0025,
    warmup_steps: int | None = None,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_lr_power: Scalar = 2.0,
    state_dtype: Any = None,
):
    """Schedule-free AdamW: `schedule_free` of AdamW without its momentum.

        nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2,   nu^_t = nu_t / (1 - b2^t)
        z_{t+1} = z_t - rate_t (g_t / (sqrt(nu^_t) + eps) + weight_decay y_t)
        rate_t = learning_rate min(1, t / warmup_steps)

    with x and y as in `schedule_free`. State: two arrays per parameter (three for
    narrow ones), three int32 and three numbers, as much as Adam's.

    Args:
      learning_rate: a finite number or a schedule; up to ten times AdamW's.
      warmup_steps: see `schedule_free_sgd`; the paper has one in all experiments.
      b1, weight_lr_power, state_dtype: see `schedule_free`.
      b2, eps: see `scale_by_adam`.
      weight_decay: see `add_decayed_weights`; of the parameters, y.

    Raises:
      ValueError: a number out of range, or no params in `update`.

    Source: Defazio et al., The road less scheduled (2024), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.schedule_free_adamw(0.1, warmup_steps=100)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
      >>> averaged = gradtx.schedule_free_eval_params(state, params)
    """
    check.decay("b2", b2)  # by its name here, not as scale_by_rms calls it
    rate = _warmed(learning_rate, warmup_steps)
    base = chain(
        scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        add_decayed_weights(weight_decay),
        scale_by_learning_rate(rate),
    )

    def rule(g, p, nu, factor, step, decay):
        u = divide(g, factor * root(nu) + eps, eps)  # not root(factor nu), as above
        return -step * (u + decay * p), nu

    move = lift(rule, with_params=True)

    def again(updates, state, params):
        rms, decayed, rated = state
        factor = root(1 / one_minus_power(b2, rms.count))
        step = rated.learning_rate if callable(rate) else rate
        decay = decayed.weight_decay if callable(weight_decay) else weight_decay
        return move(updates, [rms.nu], params, [factor, step, decay])[0]

    return averaging(base, rate, b1, weight_lr_power, state_dtype, again)
