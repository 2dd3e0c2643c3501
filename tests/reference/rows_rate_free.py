"""Methods without a learning rate to find, with every option: data.

Gradients without a direction let no estimate grow: test_rate_free.py has those that do.
"""

from .cases import decay

ROWS = [
    ("cocob", {"weight_decay": 0.1}),
    ("cocob", {"alpha": 3.0, "eps": 0.5, "weight_decay": decay}),
    ("dadapt_adamw", {"estim_lr0": 0.1, "betas": (0.5, 0.9), "eps": 0.1}),
    ("dadapt_adamw", {"estim_lr0": 0.1, "weight_decay": 0.1}),
    ("dog", {"init_step": ("distance", 30.0), "weight_decay": 0.1, "eps": 1.0}),
    ("dog", {"init_step": ("learning_rate", 1.0)}),
    ("dowg", {}),
    ("dowg", {"init_estim_sq_dist": 900.0, "eps": 0.1, "weight_decay": 0.1}),
    ("madgrad", {}),
    ("madgrad", {"momentum": 0.5, "eps": 0.1, "weight_decay": decay}),
    ("prodigy", {"estim_lr0": 0.1, "weight_decay": 0.1, "beta3": 0.5}),
    (
        "prodigy",
        {
            "betas": (0.5, 0.9),
            "eps": 0.1,
            "estim_lr0": 0.1,
            "estim_lr_coef": 2.0,
            "safeguard_warmup": True,
        },
    ),
    ("schedule_free_adamw", {}),
    (
        "schedule_free_adamw",
        {"b1": 0.5, "b2": 0.9, "eps": 1e-2, "warmup_steps": 4, "weight_decay": 0.1},
    ),
    ("schedule_free_sgd", {}),
    ("schedule_free_sgd", {"weight_lr_power": 0.0, "weight_decay": 0.1, "b1": 0.3}),
    ("schedule_free_sgd", {"warmup_steps": 5, "weight_lr_power": 1.0}),
]

COMPLEX = [
    ("dadapt_adamw", {"estim_lr0": 0.1}),
    ("dog", {"init_step": ("learning_rate", 1.0)}),
    ("dowg", {"init_estim_sq_dist": 100.0}),
    ("madgrad", {}),
    ("prodigy", {"estim_lr0": 0.1}),
    ("schedule_free_sgd", {}),
]

CONSTANT = []

# With the defaults of these next to nothing moves in 20 steps.
SCHEDULED = {
    "dadapt_adamw": {"estim_lr0": 0.1},
    "dog": {"init_step": ("distance", 1.0)},
    "prodigy": {"estim_lr0": 0.1},
}
