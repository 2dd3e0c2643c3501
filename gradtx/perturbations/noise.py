"""Distributions to perturb by: standard ones, of independent entries."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class Normal:
    """The normal distribution of mean 0 and variance 1.

        log p(z) = -z^2 / 2 - log(2 pi) / 2

    Example:
      >>> import gradtx
      >>> noise = gradtx.perturbations.Normal()
      >>> round(float(noise.log_prob(1.0)), 3)
      -1.419
    """

    def sample(
        self, key: jax.Array, sample_shape: Sequence[int] = (), dtype: Any = float
    ) -> jax.Array:
        """Independent numbers, by a random key."""
        return jax.random.normal(key, tuple(sample_shape), dtype)

    def log_prob(self, inputs: Any) -> jax.Array:
        """The logarithm of the density, of each entry."""
        z = jnp.asarray(inputs)
        return -0.5 * (z * z + math.log(2 * math.pi))


@dataclass(frozen=True)
class Gumbel:
    """The Gumbel distribution, of the largest of many: mean 0.577, variance pi^2 / 6.

        log p(z) = -z - exp(-z)

    Example:
      >>> import gradtx
      >>> noise = gradtx.perturbations.Gumbel()
      >>> round(float(noise.log_prob(1.0)), 3)
      -1.368
    """

    def sample(
        self, key: jax.Array, sample_shape: Sequence[int] = (), dtype: Any = float
    ) -> jax.Array:
        """Independent numbers, by a random key."""
        return jax.random.gumbel(key, tuple(sample_shape), dtype)

    def log_prob(self, inputs: Any) -> jax.Array:
        """The logarithm of the density, of each entry."""
        z = jnp.asarray(inputs)
        return -z - jnp.exp(-z)
