"""Normal distributions of independent entries, by their means and log deviations."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp


@dataclass(frozen=True, eq=False)
class MultiNormal:
    """Independent normal entries of given means and deviations; see `multi_normal`."""

    loc: jax.Array
    log_scale: jax.Array

    @property
    def params(self) -> list[jax.Array]:
        """The means and the logarithms of the deviations."""
        return [self.loc, self.log_scale]

    @property
    def _shape(self) -> tuple[int, ...]:
        return jnp.broadcast_shapes(self.loc.shape, self.log_scale.shape)

    def sample(self, shape: Sequence[int], key: jax.Array) -> jax.Array:
        """Samples in that shape, each in the parameters' own behind it.

        They are loc + exp(log_scale) z, so that they have derivatives by both.
        """
        dtype = jnp.promote_types(self.loc.dtype, self.log_scale.dtype)
        z = jax.random.normal(key, (*shape, *self._shape), dtype)
        return self.loc + jnp.exp(self.log_scale) * z

    def log_prob(self, x: Any) -> jax.Array:
        """The logarithm of the density, summed over the parameters' axes."""
        z = (jnp.asarray(x) - self.loc) * jnp.exp(-self.log_scale)
        each = -0.5 * (z * z + math.log(2 * math.pi)) - self.log_scale
        return jnp.sum(each, axis=tuple(range(-len(self._shape), 0)))


def multi_normal(loc: Any, log_scale: Any) -> MultiNormal:
    """A normal distribution of independent entries.

        log p(x) = -sum over i of (x_i - loc_i)^2 / (2 s_i^2) + log s_i + log(2 pi) / 2
        s = exp(log_scale)

    Args:
      loc: the means, floating.
      log_scale: logarithms of the standard deviations, floating; the two broadcast.

    Returns:
      A distribution with `sample(shape, key)`, `log_prob(x)`, `log_scale`, `params`.

    Raises:
      ValueError: shapes that do not broadcast, or numbers that are not floating.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> p = gradtx.perturbations.multi_normal(jnp.zeros(3), jnp.zeros(3))
      >>> p.sample((2,), jax.random.key(0)).shape
      (2, 3)
      >>> round(float(p.log_prob(jnp.ones(3))), 3)
      -4.257
    """
    found = []
    for name, given in (("loc", loc), ("log_scale", log_scale)):
        x = jnp.asarray(given, None if hasattr(given, "dtype") else float)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(f"multi_normal: {name} must be floating, is {x.dtype}.")
        found.append(x)
    try:
        jnp.broadcast_shapes(*(x.shape for x in found))
    except ValueError:
        raise ValueError(
            f"multi_normal: Incompatible shapes for broadcasting: loc has shape "
            f"{found[0].shape}, log_scale has {found[1].shape}."
        ) from None
    return MultiNormal(*found)
