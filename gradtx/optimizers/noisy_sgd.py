"""SGD with noise that falls with time."""

from typing import Any

from gradtx.core.axes import AxisNames
from gradtx.core.compose import chain
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.transforms.noise import add_noise
from gradtx.transforms.scale import scale_by_learning_rate


@transformation
def noisy_sgd(
    learning_rate: ScalarOrSchedule,
    eta: Scalar = 0.01,
    gamma: Scalar = 0.55,
    key: Any = None,
    *,
    seed: int | None = None,
    axis_name: AxisNames = None,
):
    """Noisy SGD: `add_noise`, then the learning rate.

        p_t = p_{t-1} - learning_rate (g_t + n_t),   n_t ~ N(0, eta / t^gamma)

    State: one int32 and one random key.

    Args:
      learning_rate: a finite number or a schedule.
      eta, gamma, seed, axis_name: see `add_noise`.
      key: a random key, or an int as a seed; 0 by default, so that each run has the
        same noise.

    Raises:
      ValueError: a number out of range, or both key and seed.

    Source: Neelakantan et al., Adding gradient noise improves learning for very deep
    networks (2015), eq. 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.noisy_sgd(0.1, key=0)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    if key is None and seed is None:
        key = 0
    return chain(
        add_noise(eta, gamma, key, seed=seed, axis_name=axis_name),
        scale_by_learning_rate(learning_rate),
    )
