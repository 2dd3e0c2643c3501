"""Further relatives of Adam, with their options: data."""

from .cases import decay


def rising(step):
    """A weight from 0 up."""
    return 0.3 * step


def slower(step):
    """A decay from 0.5 up."""
    return 1 - 0.5 / (1 + step)


ROWS = [
    ("adabelief", {}),
    ("adabelief", {"b1": 0.5, "b2": 0.9, "eps": 1e-2, "eps_root": 1e-3}),
    ("adabelief", {"nesterov": True}),
    ("yogi", {}),
    ("yogi", {"b1": 0.5, "b2": 0.7, "eps": 1e-2}),  # nu falls, too
    ("adan", {}),
    ("adan", {"b1": 0.5, "b2": 0.7, "b3": 0.9, "eps": 1e-2, "weight_decay": decay}),
    ("acprop", {"eps": 0.1}),
    ("acprop", {"b1": 0.5, "b2": 0.9, "eps_root": 1e-2, "weight_decay": decay}),
    ("adopt", {}),
    ("adopt", {"b1": 0.5, "b2": 0.9, "nesterov": True}),
    ("adopt", {"eps": 0.1, "use_clipping": False}),
    ("ademamix", {}),
    ("ademamix", {"b3": 0.5, "alpha": 2.0, "eps_root": 1e-2, "weight_decay": decay}),
    ("ademamix", {"b3": slower, "alpha": rising, "b1": 0.5, "b2": 0.9}),
    ("simplified_ademamix", {"b1": 0.5, "alpha": 2.0}),
    ("simplified_ademamix", {"b1": 0.5, "alpha": rising, "weight_decay": decay}),
    ("laprop", {}),
    ("laprop", {"b1": 0.5, "b2": 0.9, "eps": 1e-2, "weight_decay": decay}),
    ("mars", {}),
    ("mars", {"gamma": 0.2, "b2": 0.9, "max_norm": 3.0, "weight_decay": decay}),
    ("mars", {"b1": 0.5, "max_norm": None, "eps_root": 1e-2}),
]

COMPLEX = [
    ("adabelief", {}),
    ("yogi", {}),
    ("adan", {}),
    ("acprop", {"eps": 0.1}),
    ("adopt", {}),
    ("ademamix", {}),
    ("simplified_ademamix", {"b1": 0.5}),
    ("laprop", {}),
    ("mars", {}),
]

CONSTANT = []

# Where the defaults would go far, for entries that begin without a gradient or in the
# first steps: the options that a schedule is tried with.
SCHEDULED = {"acprop": {"eps": 0.1}, "simplified_ademamix": {"b1": 0.5}}
