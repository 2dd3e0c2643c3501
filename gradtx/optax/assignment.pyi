# made by python -m tests.compat.optax_names --write

from gradtx.assignment import (
    hungarian_algorithm as base_hungarian_algorithm,
    hungarian_algorithm as hungarian_algorithm,
)
