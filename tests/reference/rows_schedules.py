"""Schedules with every option: data."""

from .cases import Case

_STABLE = dict(
    init_value=0.1, peak_value=0.9, warmup_steps=4, cooldown_steps=9, total_steps=25
)
_WARM = {"init_value": 0.1, "peak_value": 0.9, "warmup_steps": 5}
_DOWN = {"init_value": 0.9, "end_value": 0.1, "transition_steps": 9}
_HALF = {"transition_steps": 7, "decay_rate": 0.5}
_GROW = {"init_value": 0.9, "transition_steps": 7, "decay_rate": 1.5}
_LATE = {"transition_begin": 5}
_STAIRS = {"transition_begin": 3, "staircase": True}
_KNOTS = {"init_value": 0.9, "boundaries_and_scales": {20: 2.0, 5: 0.5, 11: 3.0}}
_PERIODS = [
    _WARM | {"decay_steps": 10},
    _WARM | {"decay_steps": 15, "end_value": 0.05, "exponent": 2.0},
]
_RESTARTS = {"init_value": 0.9, "decay_steps": 4, "peak_factor": 0.7, "alpha": 0.1}
_TRIANGLES = {"init_value": 0.1, "peak_value": 0.9, "steps_up": 5}
_CYCLE = {"pct_start": 0.2, "div_factor": 3.0, "final_div_factor": 10.0}
SCHEDULES = [
    Case("constant_schedule", {"value": 0.3}),
    Case("linear_schedule", _DOWN),
    Case("linear_schedule", _DOWN | _LATE | {"end_value": 2.0}),
    Case("polynomial_schedule", _DOWN | {"power": 2.0}),
    Case("polynomial_schedule", _DOWN | _LATE | {"power": 1.5}),
    Case("exponential_decay", _HALF | {"init_value": 0.9}),
    Case("exponential_decay", _HALF | _STAIRS | {"init_value": 0.9}),
    Case("exponential_decay", _HALF | _LATE | {"init_value": 0.9, "end_value": 0.3}),
    Case("exponential_decay", _GROW),
    Case("exponential_decay", _GROW | {"end_value": 2.0}),
    Case("piecewise_constant_schedule", {"init_value": 0.9}),
    Case("piecewise_constant_schedule", _KNOTS),
    Case("piecewise_interpolate_schedule", _KNOTS | {"interpolate_type": "linear"}),
    Case("piecewise_interpolate_schedule", _KNOTS | {"interpolate_type": "cosine"}),
    Case("inverse_sqrt_schedule", {"init_value": 0.9}),
    Case("inverse_sqrt_schedule", {"init_value": 0.9, "timescale": 7.5}),
    Case("warmup_stable_decay_schedule", _STABLE),
    Case("warmup_stable_decay_schedule", _STABLE | {"shape": "linear"}),
    Case(
        "warmup_stable_decay_schedule",
        _STABLE | {"shape": 1.2, "end_value": 0.1, "warmup_steps": 0},
    ),
    Case("warmup_stable_decay_schedule", _STABLE | {"cooldown_steps": 0}),
    Case("cosine_decay_schedule", {"init_value": 0.9, "decay_steps": 20}),
    Case(
        "cosine_decay_schedule",
        {"init_value": 0.9, "decay_steps": 20, "alpha": 0.2, "exponent": 2.0},
    ),
    Case(
        "cosine_decay_schedule",
        {"init_value": 0.9, "decay_steps": 9, "alpha": 0.2, "periodic": True},
    ),
    Case("cosine_restarts_schedule", {"init_value": 0.9, "decay_steps": 7}),
    Case("cosine_restarts_schedule", _RESTARTS | {"period_factor": 2.0}),
    Case("cosine_restarts_schedule", _RESTARTS | {"decay_steps": 4.5}),
    Case("cosine_restarts_schedule", _RESTARTS | {"period_factor": 1.3}),
    Case("cyclic_schedule", _TRIANGLES),
    Case("cyclic_schedule", _TRIANGLES | {"steps_down": 3, "mode": "triangular2"}),
    Case("cyclic_schedule", _TRIANGLES | {"mode": "exp_range", "gamma": 0.9}),
    Case("sgdr_schedule", {"cosine_kwargs": _PERIODS}),
    Case("warmup_constant_schedule", _WARM),
    Case("warmup_cosine_decay_schedule", _WARM | {"decay_steps": 20}),
    Case("warmup_cosine_decay_schedule", _PERIODS[1]),
    Case("warmup_cosine_decay_schedule", _PERIODS[1] | {"warmup_steps": 0}),
    Case("warmup_exponential_decay_schedule", _WARM | _HALF),
    Case("warmup_exponential_decay_schedule", _WARM | _HALF | _STAIRS),
    Case("warmup_exponential_decay_schedule", _WARM | _HALF | {"end_value": 0.3}),
    Case("linear_onecycle_schedule", {"transition_steps": 33, "peak_value": 0.9}),
    Case(
        "linear_onecycle_schedule",
        _CYCLE | {"transition_steps": 33, "peak_value": 0.9, "pct_final": 0.5},
    ),
    Case("cosine_onecycle_schedule", {"transition_steps": 33, "peak_value": 0.9}),
    Case(
        "cosine_onecycle_schedule",
        _CYCLE | {"transition_steps": 33, "peak_value": 0.9},
    ),
    Case("onecycle_schedule", {"transition_steps": 33, "peak_value": 0.9}),
    Case(
        "onecycle_schedule",
        _CYCLE | {"transition_steps": 33, "peak_value": 0.9, "anneal": "linear"},
    ),
    Case(
        "onecycle_schedule",
        _CYCLE | {"transition_steps": 33, "peak_value": 0.9, "three_phase": True},
    ),
]
