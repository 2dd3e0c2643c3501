"""The modules of `optax.experimental`; see `gradtx.optax`."""

from gradtx.optax.experimental import aggregating as aggregating
