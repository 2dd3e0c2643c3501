"""Optimizers by layers, signs and past gradients, with every option: data."""

from .cases import decay

ROWS = [
    ("lamb", {}),
    ("lamb", {"b1": 0.5, "b2": 0.9, "eps": 1e-2, "eps_root": 1e-2}),
    ("lamb", {"weight_decay": decay}),
    ("lars", {}),
    ("lars", {"trust_coefficient": 0.1, "eps": 0.5, "weight_decay": 0.1}),
    ("lars", {"trust_coefficient": 1.0, "momentum": 0.5, "nesterov": True}),
    ("fromage", {}),
    ("fromage", {"min_norm": 5.0}),
    ("sign_sgd", {}),
    ("signum", {}),
    ("signum", {"beta": 0.5}),
]

COMPLEX = [
    ("lamb", {"weight_decay": 0.1}),
    ("fromage", {}),
]

CONSTANT = []
