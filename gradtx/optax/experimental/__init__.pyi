# made by python -m tests.compat.optax_names --write

from gradtx.optax.experimental import (
    aggregating as aggregating,
)
