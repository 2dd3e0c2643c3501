"""What stands before or around relatives of Adam: see transforms.py."""

import numpy as np

from .cases import Case
from .optimizers_adam_family import yogi_directions
from .transforms import per_array

CASES = [
    Case("grokfast", {}),
    Case("grokfast", {"alpha": 0.5, "lamb": 0.7}, dtype=complex),
    Case(
        "scale_by_yogi", {"b2": 0.9, "eps_root": 0.1, "initial_accumulator_value": 0.5}
    ),
]


@per_array
def grokfast(grads, params, alpha=0.98, lamb=2.0):
    """Lee et al. 2024, Grokfast-EMA; the average begins at the first gradient."""
    h = grads[0]
    for g in grads:
        h = alpha * h + (1 - alpha) * g
        yield g + lamb * h


@per_array
def scale_by_yogi(
    grads,
    params,
    b1=0.9,
    b2=0.999,
    eps=1e-3,
    eps_root=0.0,
    initial_accumulator_value=1e-6,
):
    """Zaheer et al. 2018, algorithm 2, without the rate."""
    start = initial_accumulator_value
    return list(yogi_directions(grads, params, b1, b2, eps, eps_root, start))


def cautious(grads, params, inner, eps=1e-8):
    """Liang et al. 2024, algorithm 1; `inner` must not look at its parameters.

    w = w - u phi(u g),   phi(x) = I(x > 0) dim(x) / (nnz(x > 0) + eps)
    """
    w, path = params, []
    updates = -np.diff([params, *inner(grads, params)], axis=0)
    for g, u in zip(grads, updates, strict=True):
        x = (u * np.conj(g)).real
        phi = (x > 0) * x.size / (np.count_nonzero(x > 0) + eps)
        w = w - u * phi
        path.append(w)
    return path
