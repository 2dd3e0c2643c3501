# made by python -m tests.compat.optax_names --write

from gradtx.perturbations import (
    Gumbel as Gumbel,
    make_perturbed_fun as make_perturbed_fun,
    Normal as Normal,
)
