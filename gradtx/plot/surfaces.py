"""Functions of two numbers to watch optimizers on.

Each takes an array of shape (2,), or (2, ...) for many points at once. A constant in
capitals holds the function with a start, a frame and its minimum.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Surface(NamedTuple):
    name: str
    fn: Callable[[jax.Array], jax.Array]  # (2, ...) -> (...)
    start: tuple[float, float]  # where optimizers begin
    xlim: tuple[float, float]  # the frame of a picture
    ylim: tuple[float, float]
    minimum: tuple[float, float] | None  # None where there is none


def quadratic(xy: jax.Array) -> jax.Array:
    """A long valley: 20 times as steep in one direction as in the other.

        f(x, y) = (x^2 + 20 y^2) / 2

    Minimum: 0 at (0, 0). The Hessian has the eigenvalues 1 and 20, so gradient descent
    diverges at rates above 2 / 20.

    Args:
      xy: shape (2,) or (2, ...), as for all of these functions.

    Source: Goh, Why momentum really works (2017), takes such a function apart.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> float(gradtx.plot.surfaces.quadratic(jnp.array([2.0, 1.0])))
      12.0
    """
    x, y = xy
    return (x**2 + 20 * y**2) / 2


def saddle(xy: jax.Array) -> jax.Array:
    """A saddle: a valley along x that falls off to both sides along y.

        f(x, y) = x^2 - y^2

    No minimum; the gradient is zero at (0, 0). From a point with y = 0 a gradient
    never leaves the valley.

    Source: Dauphin et al., Identifying and attacking the saddle point problem in
    high-dimensional non-convex optimization (2014), section 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> float(gradtx.plot.surfaces.saddle(jnp.array([1.0, 3.0])))
      -8.0
    """
    x, y = xy
    return x**2 - y**2


def beale(xy: jax.Array) -> jax.Array:
    """Beale's function: a flat valley between walls that rise steeply.

        f(x, y) = (1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2

    Minimum: 0 at (3, 0.5).

    Source: Beale (1958), as problem 5 of Moré, Garbow & Hillstrom, Testing
    unconstrained optimization software (1981).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> float(gradtx.plot.surfaces.beale(jnp.array([3.0, 0.5])))
      0.0
    """
    x, y = xy
    return (
        (1.5 - x + x * y) ** 2
        + (2.25 - x + x * y**2) ** 2
        + (2.625 - x + x * y**3) ** 2
    )


def rosenbrock(xy: jax.Array) -> jax.Array:
    """Rosenbrock's function: a bent valley with a floor that hardly falls.

        f(x, y) = (1 - x)^2 + 100 (y - x^2)^2

    Minimum: 0 at (1, 1), where the Hessian has a condition number of 2,508.

    Source: Rosenbrock, An automatic method for finding the greatest or least value of
    a function (1960), eq. 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> float(gradtx.plot.surfaces.rosenbrock(jnp.array([-1.0, 1.0])))
      4.0
    """
    x, y = xy
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def plateau(xy: jax.Array) -> jax.Array:
    """A hole in a plain that is flat far away.

        f(x, y) = 1 - exp(-(x^2 + y^2) / 2)

    Minimum: 0 at (0, 0). At a distance r the gradient has the length r exp(-r^2 / 2):
    0.03 at r = 3, where it does not say how far it is to go.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> float(gradtx.plot.surfaces.plateau(jnp.array([30.0, 40.0])))
      1.0
    """
    x, y = xy
    return 1 - jnp.exp(-(x**2 + y**2) / 2)


def two_minima(xy: jax.Array) -> jax.Array:
    """Two valleys: the first one is not the deepest.

        f(x, y) = (x - 1)^2 ((x + 1)^2 + 3/8) + y^2

    Minimum: 0 at (1, 0). Between it and the local minimum at (-3/4, 0), where f = 1.34,
    is a pass at (-1/4, 0), 0.125 higher. What comes from the left with small steps
    ends in the first; what has gathered speed rolls over the pass.

    Source: ours. Along x, f' = 4 (x + 3/4) (x + 1/4) (x - 1).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> float(gradtx.plot.surfaces.two_minima(jnp.array([-1.0, 0.5])))
      1.75
    """
    x, y = xy
    return (x - 1) ** 2 * ((x + 1) ** 2 + 3 / 8) + y**2


QUADRATIC = Surface("quadratic", quadratic, (-4.0, 1.0), (-5, 2), (-1.6, 1.6), (0, 0))
SADDLE = Surface("saddle", saddle, (1.5, 0.01), (-1.75, 1.75), (-1.4, 1.4), None)
BEALE = Surface("Beale", beale, (1.0, 1.5), (-0.5, 4.0), (-1.25, 2.0), (3, 0.5))
ROSENBROCK = Surface(
    "Rosenbrock", rosenbrock, (-1.2, 1.0), (-1.75, 1.75), (-0.6, 2.0), (1, 1)
)
PLATEAU = Surface("plateau", plateau, (-2.4, 1.8), (-3.25, 2), (-1.75, 2.5), (0, 0))
TWO_MINIMA = Surface(
    "two minima", two_minima, (-1.6, 1.0), (-2.0, 2.0), (-1.0, 1.3), (1, 0)
)
SURFACES = (QUADRATIC, SADDLE, BEALE, ROSENBROCK, PLATEAU, TWO_MINIMA)
