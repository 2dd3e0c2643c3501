"""Parameters kept from becoming negative."""

from typing import NamedTuple

import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.leafwise import leafwise
from gradtx.core.transformation import transformation


class NonNegativeParamsState(NamedTuple):
    """The state of `keep_params_nonnegative`: nothing."""


@transformation
def keep_params_nonnegative():
    """Stop at zero what would become negative.

        u = max(g, -p)

    Last in a chain, behind the learning rate: what comes later could lead below zero
    again. A parameter that is negative already is brought to zero.

    State: none. `update` needs params.

    Raises:
      ValueError: no params, or a complex leaf.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.chain(gradtx.sgd(1.0), gradtx.keep_params_nonnegative())
      >>> params = jnp.array([1.0, 1.0])
      >>> tx.step(jnp.array([0.5, 3.0]), tx.init(params), params)[0]
      Array([0.5, 0. ], dtype=float32)
    """

    def rule(g, p):
        check.ordered(g)
        return jnp.maximum(g, -p)

    return leafwise(NonNegativeParamsState, rule, with_params=True)
