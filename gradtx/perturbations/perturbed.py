"""Functions without derivatives, made smooth by noise."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.trees import compute_dtype, map_present, paths_of
from gradtx.perturbations.noise import Gumbel
from gradtx.tree.random import random_like


def make_perturbed_fun(
    fun: Callable[[Any], Any],
    num_samples: int = 1000,
    sigma: Any = 0.1,
    noise: Any = Gumbel(),  # noqa: B008  it has no state
    use_baseline: bool = True,
) -> Callable[[jax.Array, Any], Any]:
    """A function's mean under noise, which has derivatives where the function has none.

        F(x) = E f(x + sigma z)
        dF/dx = E (f(x + sigma z) - b) s(z),   s(z) = -1 / sigma  d log p(z) / dz

    as means over samples of z, without bias, with derivatives of every order. They take
    values of f alone: an argmax, a sort or a shortest path gets a derivative. With
    Gumbel noise the mean of a one-hot argmax is softmax(x / sigma), and that of a
    maximum sigma log sum exp(x / sigma), plus 0.577 sigma.

    The error falls with the root of the number of samples: for f between 0 and 1 it is
    about 1 / (2 sqrt(num_samples)) in F, and 1 / (sigma sqrt(num_samples)) in dF/dx. A
    small sigma is closer to f and noisier.

    f is multiplied by exp(l - stop(l)), l = log p(z): a factor of 1 whose derivatives
    are the scores. z enters as what it is, not as (y - x) / sigma, of which float32
    would lose the digits where x is large.

    On a CPU jaxlib 0.10 makes one kernel of two sums in a row, and gets it wrong where
    the first is long: compiled derivatives in reverse mode with more than about 10,000
    samples. `XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type=` (with nothing behind
    it) switches that off; forward mode and jaxlib 0.11 are right as they are.

    Args:
      fun: from a tree of floating arrays to a tree of arrays, integers as well. It is
        mapped over the samples by `jax.vmap`, and not differentiated.
      num_samples: of the noise, at least 1; all are held at once.
      sigma: the scale of the noise, above 0.
      noise: `Normal()`, `Gumbel()`, or what has their two methods.
      use_baseline: whether b = f(x), one more call, which takes off most of the
        variance of the derivatives; or else 0.

    Returns:
      `perturbed(key, x)`, by a random key; the same key, the same samples. Means are
      taken in float32 at least; floating results keep their dtypes, others become
      float32.

    Raises:
      ValueError: num_samples or sigma out of range.
      TypeError: noise without the two methods; in a call, a leaf that is not real.

    Source: Berthet et al., Learning with Differentiable Perturbed Optimizers (2020),
    proposition 3.1; Foerster et al., DiCE (2018), for all orders at once.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> def winner(x):
      ...     return jax.nn.one_hot(jnp.argmax(x), 3)
      >>> soft = gradtx.perturbations.make_perturbed_fun(winner, 20_000, sigma=1.0)
      >>> x = jnp.array([0.0, 1.0, 2.0])
      >>> error = soft(jax.random.key(0), x) - jax.nn.softmax(x)
      >>> bool(abs(error).max() < 0.02)
      True
    """
    name = "make_perturbed_fun"
    check.count(f"{name}: num_samples", num_samples, 1)
    check.positive(f"{name}: sigma", sigma)
    if isinstance(noise, type) or not (
        callable(getattr(noise, "sample", None))
        and callable(getattr(noise, "log_prob", None))
    ):
        raise TypeError(
            f"{name}: noise must have sample(key, shape, dtype) and log_prob(z), as "
            f"Normal() and Gumbel() have, got {noise!r}."
        )

    def perturbed(key: jax.Array, x: Any) -> Any:
        x = _checked(name, x)
        still = lax.stop_gradient(x)
        wide = map_present(lambda a: a.astype(compute_dtype(a.dtype)), x)
        fixed = lax.stop_gradient(wide)
        scale = lax.stop_gradient(jnp.asarray(sigma))

        def one(key: jax.Array) -> tuple[Any, jax.Array]:
            z = random_like(key, wide, noise.sample)
            at = jax.tree.map(
                lambda a, n, b: (a + scale.astype(a.dtype) * n).astype(b.dtype),
                *(fixed, z, still),
            )
            return lax.stop_gradient(fun(at)), log_density(z)

        def log_density(z: Any) -> jax.Array:
            # As a function of x, about which y = x + sigma z stays where it is.
            moved = jax.tree.map(
                lambda n, a, b: n + (a - b) / scale.astype(n.dtype), z, fixed, wide
            )
            logs = [noise.log_prob(n).sum() for n in jax.tree.leaves(moved)]
            return sum(logs, jnp.zeros([]))

        values, logs = jax.vmap(one)(jax.random.split(key, num_samples))
        factor = jnp.exp(logs - lax.stop_gradient(logs))
        base = lax.stop_gradient(fun(still)) if use_baseline else None

        def mean(v: jax.Array, b: Any = None) -> jax.Array:
            dtype = compute_dtype(v.dtype)
            if jnp.issubdtype(v.dtype, jnp.complexfloating):
                dtype = v.dtype
            weights = factor.reshape(-1, *(1,) * (v.ndim - 1)).astype(dtype)
            own = v.astype(dtype)
            b = 0 if b is None else jnp.asarray(b).astype(dtype)
            total = jnp.mean(weights * (own - b), 0) + b
            return total.astype(
                v.dtype if jnp.issubdtype(v.dtype, jnp.inexact) else dtype
            )

        return jax.tree.map(mean, values, *([] if base is None else [base]))

    return perturbed


def _checked(name: str, x: Any) -> Any:
    """The tree, whose leaves must be real and floating, as arrays."""
    for path, leaf in paths_of(x):
        dtype = None if leaf is None else jnp.result_type(leaf)
        if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"{name}: x{path} is {dtype}; what is perturbed must be floating. "
                f"Convert it with .astype(float)."
            )
    return map_present(jnp.asarray, x)
