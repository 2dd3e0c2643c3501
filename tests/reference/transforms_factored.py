"""Scaling by the size of parameters, in NumPy float64: see transforms.py."""

import numpy as np

from .cases import Case
from .transforms import per_array

CASES = [
    Case("scale_by_param_block_norm", {}),
    Case("scale_by_param_block_norm", {"min_scale": 4.0}, dtype=complex),
    Case("scale_by_param_block_rms", {"min_scale": 0.0}, dtype=complex),
    Case("scale_by_param_block_rms", {"min_scale": 1.6}),
]


@per_array
def scale_by_param_block_norm(grads, params, min_scale=1e-3):
    """|p| times the update; |p| is at least min_scale."""
    norm = np.linalg.norm(params.ravel())
    return [g * max(norm, min_scale) for g in grads]


@per_array
def scale_by_param_block_rms(grads, params, min_scale=1e-3):
    """Shazeer & Stern 2018, section 8: alpha_t = max(eps_2, RMS(X_{t-1})) rho_t."""
    rms = np.sqrt(np.mean(np.abs(params) ** 2))
    return [g * max(rms, min_scale) for g in grads]
