"""Optimizers with few second moments, with every option: data."""

from .cases import decay

FACTORED = {"min_dim_size_to_factor": 2}


def bounded(step, rate):
    """Zhai et al. 2021: at most 0.9."""
    power = 1 - (step + 1.0) ** -rate
    return power * (power < 0.9) + 0.9 * (power >= 0.9)


ROWS = [
    ("adafactor", {}),
    ("adafactor", FACTORED | {"clipping_threshold": None, "eps": 1e-3}),
    ("adafactor", FACTORED | {"momentum": 0.9, "weight_decay_rate": decay}),
    (
        "adafactor",
        FACTORED
        | {"multiply_by_parameter_scale": False, "clipping_threshold": 0.5}
        | {"decay_offset": 3, "decay_rate_fn": bounded},
    ),
    ("sm3", {}),
    ("sm3", {"momentum": 0.5, "b2": 0.9, "eps": 1e-2}),
    ("novograd", {}),
    ("novograd", {"b2": 0.9, "eps_root": 1e-2, "weight_decay": decay}),
    ("stable_adamw", {}),
    ("stable_adamw", {"b1": 0.5, "b2": 0.9, "eps": 0.3, "weight_decay": decay}),
    ("adam_mini", {}),
    ("adam_mini", {"b2": 0.9, "eps": 1e-2, "weight_decay": decay, "blocks": "leaf"}),
    ("adam_mini", {"blocks": "entry"}),
    ("came", {}),
    ("came", {"b3": 0.9, "eps": 1e-3, "eps_confidence": 1e-2, "weight_decay": decay}),
    # Steps of order 1 with the default b3, which the second row does not have.
    ("came", {"b3": 0.9, "b1": 0.5, "b2": 0.9, "clipping_threshold": None}),
    ("apollo", {}),
    ("apollo", {"rank": 1, "update_proj_gap": 7, "scale": 0.5, "weight_decay": decay}),
    ("apollo", {"rank": 1, "b2": 0.9, "eps": 1e-2, "max_growth": None}),
    ("apollo_mini", {}),
    ("galore", {}),
    ("galore", {"rank": 1, "update_proj_gap": 7, "scale": 0.5, "weight_decay": decay}),
]

COMPLEX = [
    ("adafactor", FACTORED),
    ("sm3", {}),
    ("novograd", {"weight_decay": 0.1}),
    ("stable_adamw", {"weight_decay": 0.1}),
    ("adam_mini", {}),
    ("came", {}),
    ("apollo", {"rank": 1}),
    ("galore", {"rank": 1}),
]

CONSTANT: list[str] = []
