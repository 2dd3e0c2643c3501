"""AdamW and NAdamW: Adam with decoupled weight decay."""

from typing import Any

from gradtx.core.compose import chain
from gradtx.core.masking import MaskOrFn
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.optimizers.adam import Amsgrad, scale_by_adam
from gradtx.optimizers.nadam import momentum_of
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


@transformation
def adamw(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: MaskOrFn | None = None,
    *,
    nesterov: bool = False,
    bias_correction: bool = True,
    nu_dtype: Any = None,
    amsgrad: Amsgrad = False,
    eps_before_correction: bool = False,
):
    """AdamW: `scale_by_adam`, then weight decay, then the learning rate.

        p_t = p_{t-1} - learning_rate (adam_t + weight_decay p_{t-1})

    The decay is decoupled: it is added after Adam has divided by the size of the
    gradients, so a step shrinks all weights by the same factor. L2 regularisation,
    `chain(add_decayed_weights(l2), adam(rate))`, adds it to the gradient before that
    division, so weights with large gradients shrink less than others.

    State: two arrays per parameter and one int32; three arrays with amsgrad.

    Args:
      learning_rate: a finite number or a schedule; 3e-4 to 1e-3 are common.
      b1, b2, eps, eps_root, mu_dtype, nesterov, bias_correction, nu_dtype, amsgrad,
        eps_before_correction: see `scale_by_adam`.
      weight_decay: at least 0, or a schedule; multiplied by the learning rate, as in
        PyTorch. With 1e-2 and a rate of 1e-3 a weight halves in 70,000 steps. The paper
        multiplies by the schedule's factor eta_t, but not by the base rate alpha:

            p_t = p_{t-1} - eta_t (alpha adam_t + weight_decay p_{t-1})

        is `adamw(lambda t: alpha * eta(t), weight_decay=decay / alpha)`.
      mask: which leaves decay, see `add_decayed_weights`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Loshchilov & Hutter, Decoupled weight decay regularization (2019),
    algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adamw(0.1, weight_decay=0.5)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.array([5.0, 0.0]), tx.init(params), params)
      >>> params
      Array([0.85, 1.9 ], dtype=float32)
    """
    return chain(
        scale_by_adam(
            b1,
            b2,
            eps,
            eps_root,
            mu_dtype,
            nesterov=nesterov,
            bias_correction=bias_correction,
            nu_dtype=nu_dtype,
            amsgrad=amsgrad,
            eps_before_correction=eps_before_correction,
        ),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def nadamw(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: MaskOrFn | None = None,
    *,
    nesterov: bool = True,
    bias_correction: bool = True,
    nu_dtype: Any = None,
    momentum_decay: Scalar | None = None,
):
    """NAdamW: `adamw` with Nesterov's momentum.

    State: two arrays per parameter and one int32.

    Args:
      learning_rate, weight_decay, mask: see `adamw`.
      b1, b2, eps, eps_root, mu_dtype, nesterov, bias_correction, nu_dtype: see
        `scale_by_adam`.
      momentum_decay: see `nadam`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit; see `nadam` for
        momentum_decay.

    Source: Dozat, Incorporating Nesterov momentum into Adam (2016), algorithm 2, with
    the decay of Loshchilov & Hutter (2019), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.nadamw(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.ones(2), tx.init(params), params)
    """
    scaling = momentum_of(
        momentum_decay,
        nesterov,
        bias_correction,
        b1=b1,
        b2=b2,
        eps=eps,
        eps_root=eps_root,
        mu_dtype=mu_dtype,
        nu_dtype=nu_dtype,
    )
    return chain(
        scaling,
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
