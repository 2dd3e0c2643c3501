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
    ("optimistic_gradient_descent", {}),
    ("optimistic_gradient_descent", {"alpha": 0.5, "beta": -2.0}),
    ("optimistic_adam", {}),
    ("optimistic_adam", {"optimism": 0.02, "nesterov": False, "b2": 0.9, "eps": 0.01}),
    ("optimistic_adam_v2", {}),
    ("asgd", {}),
    ("asgd", {"lambd": 0.5, "alpha": 1.0, "t0": 5.0, "weight_decay": 0.1}),
    ("ftrl", {}),
    ("ftrl", {"beta": 0.1, "l1": 10.0, "l2": 3.0}),
    ("optimistic_adam_v2", {"alpha": 0.5, "beta": 2.0, "b1": 0.5, "eps_root": 1e-2}),
]

COMPLEX = [
    ("lamb", {"weight_decay": 0.1}),
    ("fromage", {}),
    ("optimistic_gradient_descent", {}),
    ("asgd", {"lambd": 0.5}),
    ("ftrl", {"beta": 0.1, "l1": 10.0}),
]

CONSTANT = ["optimistic_adam", "ftrl"]
