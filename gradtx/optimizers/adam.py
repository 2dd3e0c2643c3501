"""Adam; with Nesterov's momentum and with AMSGrad's maximum as options."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.compose import chain
from gradtx.core.leafwise import Slot, leafwise, zeros
from gradtx.core.numerics import abs_sq, divide, one_minus_power, root
from gradtx.core.rules import Formula
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByAdamState(NamedTuple):
    count: jax.Array  # steps taken, int32
    mu: Updates  # first moment, shaped like params, float32 at least
    nu: Updates  # second moment, real, shaped like params, float32 at least


class ScaleByAmsgradState(NamedTuple):
    count: jax.Array  # steps taken, int32
    mu: Updates  # first moment, shaped like params, float32 at least
    nu: Updates  # second moment, real, shaped like params, float32 at least
    nu_max: Updates  # largest second moment used so far, like nu


# Whether the second moment is the largest so far, and of which: True is "corrected".
Amsgrad = bool | Literal["corrected", "uncorrected"]


def corrections(
    b1: Scalar,
    b2: Scalar,
    count: jax.Array,
    on: bool,
    nesterov: bool,
    eps_before: bool = False,
):
    """The factors that take the start from zero out of mu, nu and, with Nesterov, g.

    With Nesterov's momentum mu is used one step ahead, b1 mu_t + (1 - b1) g_t, where
    the two terms have their own corrections (Dozat, algorithm 2).
    """
    if not on:
        return (b1, 1.0, 1 - b1) if nesterov else (1.0, 1.0)
    nu = one_minus_power(b2, count)
    # The root of nu's may as well stand above the line: eps is then beside nu as it is.
    above, below = (jnp.sqrt(nu), 1.0) if eps_before else (1.0, 1 / nu)
    if nesterov:
        ahead = above * b1 / one_minus_power(b1, count + 1)
        return ahead, below, above * (1 - b1) / one_minus_power(b1, count)
    return above / one_minus_power(b1, count), below


@transformation
def scale_by_adam(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
    bias_correction: bool = True,
    nu_dtype: Any = None,
    amsgrad: Amsgrad = False,
    eps_before_correction: bool = False,
):
    """Divide the average gradient by the root of the average squared gradient.

        mu_t = b1 mu_{t-1} + (1 - b1) g_t,       mu_0 = 0
        nu_t = b2 nu_{t-1} + (1 - b2) |g_t|^2,   nu_0 = 0
        mu^_t = mu_t / (1 - b1^t),   nu^_t = nu_t / (1 - b2^t)
        u_t = mu^_t / (sqrt(nu^_t + eps_root) + eps)

    With `nesterov`, mu^_t = b1 mu_t / (1 - b1^(t+1)) + (1 - b1) g_t / (1 - b1^t).
    The result does not change when the loss is multiplied by a constant (eps = 0).
    Where numerator and denominator are both zero, so is the result.

    State: two arrays per parameter and one int32; three arrays with amsgrad.

    Args:
      b1: decay of the first moment, in [0, 1).
      b2: decay of the second moment, in [0, 1). Near 1, since a squared gradient is
        noisy; it looks back over about 1 / (1 - b2) steps.
      eps: added outside of the root, at least 0 (units: gradient). The paper's
        algorithm has it there, 1e-8.
      eps_root: added inside of the root, at least 0 (units: gradient squared). Cohen
        (page 11) and Adam and friends have it there (docs/lectures_adam.md).
        Derivatives through the optimizer do not need it: that of the root is taken to
        be 0 where the moment is 0.
      mu_dtype, nu_dtype: dtypes of the moments; by default the parameter's, at least
        float32. In bfloat16 a second moment with b2 = 0.999 stands still.
      nesterov: whether to use the first moment one step ahead.
      bias_correction: whether to correct for the start from zero. Without it the
        first step is (1 - b1) / sqrt(1 - b2) times as long, 3.2 by default.
      amsgrad: whether to divide by the largest second moment so far: `True` or
        "corrected", or "uncorrected" as in PyTorch, see `scale_by_amsgrad`.
      eps_before_correction: whether eps and eps_root are added to nu_t itself and its
        root, and the sum is divided by sqrt(1 - b2^t): the shorter form at the end of
        the paper's section 2, which Keras and torch.optim.SparseAdam have. Its eps
        weighs more in the first steps, 32 times in the very first by default.

    Raises:
      ValueError: a number out of range.

    Source: Kingma & Ba, Adam: a method for stochastic optimization (2015), algorithm
    1; Dozat, Incorporating Nesterov momentum into Adam (2016), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_adam()
      >>> tx.update(jnp.array([0.5, -20.0]), tx.init(jnp.ones(2)))[0]
      Array([ 1., -1.], dtype=float32)
    """
    if eps_before_correction and amsgrad not in (False, "uncorrected"):
        raise ValueError(
            f"eps_before_correction needs amsgrad='uncorrected', got {amsgrad!r}."
        )

    return moments(
        b1,
        b2,
        eps,
        eps_root,
        amsgrad,
        nesterov,
        lambda count: corrections(
            b1, b2, count, bias_correction, nesterov, eps_before_correction
        ),
        mu=zeros(mu_dtype),
        nu=zeros(nu_dtype, real=True),
    )


def moments(
    b1: Scalar,
    b2: Scalar,
    eps: Scalar,
    eps_root: Scalar,
    amsgrad: Amsgrad,
    nesterov: bool,
    scalars: Callable[[jax.Array], Any],
    mu: Slot,
    nu: Slot,
):
    """The rule of Adam and of AMSGrad.

    Args:
      b1, b2, eps, eps_root, amsgrad, nesterov: see `scale_by_adam`.
      scalars: from the count to the factors of mu, nu and, with nesterov, g; see
        `corrections`.
      mu, nu: the slots of the state.

    Returns:
      `init, update`.
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_root", eps_root)
    check.choice("amsgrad", amsgrad, (False, True, "corrected", "uncorrected"))

    plain = isinstance(eps_root, float | int) and eps_root == 0

    def averages(g, mu, nu):
        return b1 * mu + (1 - b1) * g, b2 * nu + (1 - b2) * abs_sq(g)

    def ahead_of(mu, mu_factor, *of_g):
        # With Nesterov's momentum there is a factor of g, too, and g.
        return mu_factor * mu + of_g[0] * of_g[1] if nesterov else mu_factor * mu

    def over_root(ahead, nu, outside=eps, inside=eps_root):
        return divide(ahead, root(nu, 0.0 if plain else inside) + outside, eps)

    def parts(mu, nu, mu_factor, nu_factor, outside, inside, *of_g):
        return ahead_of(mu, mu_factor, *of_g), nu_factor * nu, outside, inside

    def rule(g, mu, nu, mu_factor, nu_factor, *g_factor):
        mu, nu = averages(g, mu, nu)
        of_g = (*g_factor, g) if nesterov else ()
        small = (jnp.asarray(x, nu.dtype) for x in (eps, eps_root))
        # As a formula, since what comes behind may need the direction twice.
        arrays = mu, nu, mu_factor, nu_factor, *small, *of_g
        return Formula(over_root, parts, arrays), mu, nu

    def rule_of_the_largest(g, mu, nu, largest, mu_factor, nu_factor, *g_factor):
        mu, nu = averages(g, mu, nu)
        ahead = ahead_of(mu, mu_factor, *((*g_factor, g) if nesterov else ()))
        if amsgrad == "uncorrected":
            largest = jnp.maximum(largest, nu)
            return over_root(ahead, nu_factor * largest), mu, nu, largest
        largest = jnp.maximum(largest, nu_factor * nu)
        return over_root(ahead, largest), mu, nu, largest

    if amsgrad is False:
        return leafwise(ScaleByAdamState, rule, scalars=scalars, mu=mu, nu=nu)
    return leafwise(
        ScaleByAmsgradState,
        rule_of_the_largest,
        scalars=scalars,
        mu=mu,
        nu=nu,
        nu_max=nu,
    )


@transformation
def adam(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
    bias_correction: bool = True,
    nu_dtype: Any = None,
    amsgrad: Amsgrad = False,
    eps_before_correction: bool = False,
):
    """Adam: `scale_by_adam`, then the learning rate.

    Each entry of the parameters is moved by the average of its recent gradients,
    divided by their usual size. So the length of a step does not depend on how large
    the gradients are, but on how far they agree: it is about learning_rate where they
    all have one sign, and less where the sign changes.

    A step is longer than learning_rate where gradients come back after a long time
    without any. The average of squares remembers more steps than the average of
    gradients, so it takes in less of the first one, and the quotient is large: the
    entry moves by learning_rate (1 - b1) / sqrt(1 - b2), 3.2 times learning_rate by
    default. The paper takes that for the largest step there is (or 1, if it is less
    than 1). But the next gradients of that sign make it longer still, for b1^2 < b2 up
    to learning_rate (1 - b1) / sqrt((1 - b2) (1 - b1^2 / b2)), 7.3 times by default.

    State: two arrays per parameter and one int32; three arrays with amsgrad.

    Args:
      learning_rate: a finite number or a schedule; 1e-3 is the paper's, 1e-4 to 5e-4
        are common for large networks.
      b1, b2, eps, eps_root, mu_dtype, nesterov, bias_correction, nu_dtype, amsgrad,
        eps_before_correction: see `scale_by_adam`.

    Raises:
      ValueError: a number out of range.

    Source: Kingma & Ba, Adam: a method for stochastic optimization (2015).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adam(0.1)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.array([5.0, -0.1]), tx.init(params), params)
      >>> params
      Array([0.9, 2.1], dtype=float32)
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
        scale_by_learning_rate(learning_rate),
    )
