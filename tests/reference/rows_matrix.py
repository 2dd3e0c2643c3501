"""Optimizers of whole matrices, with every option: data."""

from .cases import decay

DION = {"ns_coeffs": "dion", "beta": 0.8, "nesterov": False}
ROWS = [
    ("muon", {}),
    ("muon", {"weight_decay": decay, "consistent_rms": 0.3, **DION}),
    ("muon", {"bias_correction": False, "eps": 1e-2, "scale_rule": "rms"}),
    ("muon", {"scale_rule": "spectral", "ns_coeffs": "ten_steps", "ns_steps": 10}),
    ("muon", {"adaptive": True, "preconditioning": "spectral"}),
    ("muon", {"preconditioning": "schatten", "ns_steps": 3}),
    ("muon", {"preconditioning": "aol"}),
]

COMPLEX = [("muon", {})]

CONSTANT: list[str] = []
