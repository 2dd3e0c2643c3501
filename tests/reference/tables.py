"""The tables that the tests run through: every factory with every option, as data."""

from typing import Any, NamedTuple

import pytest


class Case(NamedTuple):
    name: str  # of the factory, of its reference and of its peer
    kwargs: dict[str, Any]
    rate: Any = 1e-2  # learning rate: a number or a schedule
    dtype: type = float  # or complex, of all arrays but the 0-d ones


def parametrize(cases):
    """Run a test once a case, under a readable name."""

    def name_of(case):
        options = [f"{k}={getattr(v, '__name__', v)}" for k, v in case.kwargs.items()]
        if callable(case.rate):
            options.append("schedule")
        if case.dtype is complex:
            options.append("complex")
        return f"{case.name}({', '.join(options)})"

    return pytest.mark.parametrize("case", cases, ids=name_of)


def rate(step):
    """A learning rate from 1e-2 down."""
    return 1e-2 / (1 + 0.1 * step)


def decay(step):
    """A weight decay from 0.5 down."""
    return 0.5 / (1 + step)


_OPTIMIZERS = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.9, "nesterov": True}),
    ("sgd", {"momentum": 0.9, "dampening": 0.3}),
    ("adagrad", {}),
    ("adagrad", {"initial_accumulator_value": 0.0, "eps": 1e-2}),
    ("adagrad", {"initial_accumulator_value": 0.0, "eps": 0.0}),
    ("adagrad", {"eps": 1e-2, "eps_in_sqrt": False}),
    ("adagrad", {"initial_accumulator_value": 0.0, "eps": 0.0, "eps_in_sqrt": False}),
    ("rmsprop", {}),
    ("rmsprop", {"decay": 0.7, "eps": 1e-2}),
    ("rmsprop", {"eps": 1e-2, "eps_in_sqrt": False}),
    ("rmsprop", {"initial_scale": 1.0}),
    ("rmsprop", {"momentum": 0.9}),
    ("rmsprop", {"momentum": 0.9, "nesterov": True}),
    ("rmsprop", {"bias_correction": True}),
    ("rmsprop", {"bias_correction": True, "initial_scale": 0.5}),
    ("rmsprop", {"centered": True}),
    ("rmsprop", {"centered": True, "eps_in_sqrt": False, "initial_scale": 1.0}),
    # After one gradient the corrected variance is 0 but for rounding: eps carries it.
    ("rmsprop", {"centered": True, "bias_correction": True, "eps": 1e-2}),
    ("adadelta", {}),
    ("adadelta", {"rho": 0.7, "eps": 1e-2}),
    ("adadelta", {"weight_decay": 0.1}),
    ("adadelta", {"weight_decay": decay}),
    ("adam", {}),
    ("adam", {"b1": 0.5, "b2": 0.9, "eps": 1e-2}),
    ("adam", {"b1": 0.0}),
    ("adam", {"eps": 0.0, "eps_root": 1e-2}),
    ("adam", {"nesterov": True}),
    ("adam", {"bias_correction": False}),
    ("adam", {"bias_correction": False, "nesterov": True}),
    ("adam", {"b2": 0.7, "amsgrad": True}),
    ("adam", {"b2": 0.7, "amsgrad": "uncorrected", "eps_root": 1e-2}),
    ("adam", {"b2": 0.7, "amsgrad": "corrected", "nesterov": True}),
    ("adamw", {}),
    ("adamw", {"weight_decay": 0.1}),
    ("adamw", {"weight_decay": decay}),
    ("adamw", {"weight_decay": 0.1, "nesterov": True}),
    ("adamw", {"weight_decay": 0.1, "bias_correction": False}),
    ("adamw", {"weight_decay": 0.1, "b2": 0.7, "amsgrad": True}),
    ("adamw", {"weight_decay": decay, "b2": 0.7, "amsgrad": "uncorrected"}),
    ("nadam", {}),
    ("nadam", {"b1": 0.5, "b2": 0.9, "eps": 1e-2, "eps_root": 1e-2}),
    ("nadam", {"bias_correction": False}),
    ("nadam", {"nesterov": False}),
    ("nadam", {"momentum_decay": 4e-3}),
    ("nadam", {"momentum_decay": 0.5, "b1": 0.5, "b2": 0.9, "eps_root": 1e-2}),
    ("nadamw", {}),
    ("nadamw", {"weight_decay": 0.1}),
    ("nadamw", {"weight_decay": decay}),
    ("nadamw", {"weight_decay": 0.1, "momentum_decay": 4e-3}),
    ("adam_lp", {}),
    ("adam_lp", {"p": 1.0, "eps": 1e-2}),
    ("adam_lp", {"p": 3.0, "b1": 0.5, "b2": 0.9, "eps": 1e-2}),
    ("adam_lp", {"p": 10.0}),
    ("adam_lp", {"p": 10.0, "b2": 0.9, "eps": 0.5}),
    ("adamax", {}),
    ("adamax", {"b1": 0.5, "b2": 0.9, "eps": 1e-2}),
    ("adamaxw", {}),
    ("adamaxw", {"weight_decay": 0.1}),
    ("adamaxw", {"weight_decay": decay}),
    ("amsgrad", {}),
    ("amsgrad", {"b1": 0.5, "b2": 0.7, "eps": 1e-2, "eps_root": 1e-2}),
    ("amsgrad", {"b2": 0.7, "bias_correction_mu": False}),
    ("amsgrad", {"b2": 0.7, "bias_correction_nu": False}),
    ("amsgrad", {"bias_correction_mu": False, "bias_correction_nu": False}),
    ("amsgrad", {"b2": 0.7, "maximum_of": "uncorrected"}),
    ("amsgrad", {"b2": 0.7, "maximum_of": "uncorrected", "eps": 0.1, "eps_root": 0.1}),
    ("lion", {}),
    ("lion", {"b1": 0.5, "b2": 0.6, "weight_decay": 0.1}),
    ("lion", {"b1": 0.95, "b2": 0.9, "weight_decay": decay}),
    ("rprop", {}),
    ("rprop", {"eta_minus": 0.3, "eta_plus": 2.0, "max_step_size": 0.02}),
    ("rprop", {"min_step_size": 8e-3}),
    ("radam", {}),  # b2 = 0.999: the first five steps are without denominator
    ("radam", {"b2": 0.9, "eps": 1e-2, "eps_root": 1e-2}),
    ("radam", {"b2": 0.9, "threshold": 7.0}),
    ("radam", {"b2": 0.9, "eps": 1e-2, "eps_before_correction": True}),
    ("radam", {"b2": 0.5}),  # the threshold is never reached
    ("radam", {"b2": 0.9, "nesterov": True}),
]
_COMPLEX = [  # sign-based rules are for real numbers
    ("sgd", {"momentum": 0.9, "nesterov": True}),
    ("adagrad", {}),
    ("rmsprop", {}),
    ("rmsprop", {"centered": True, "momentum": 0.9}),
    ("adadelta", {}),
    ("adam", {}),
    ("adamw", {"weight_decay": 0.1, "nesterov": True}),
    ("adam_lp", {"p": 3.0}),
    ("adamax", {}),
    ("amsgrad", {"b2": 0.7}),
    ("nadam", {"momentum_decay": 4e-3}),
    ("radam", {"b2": 0.9}),
]
NAMES = sorted({name for name, _ in _OPTIMIZERS})

OPTIMIZERS = [
    *(Case(name, kwargs) for name, kwargs in _OPTIMIZERS),
    # Rprop finds its own step sizes: its learning rate is the first of them.
    *(Case(name, {}, rate=rate) for name in NAMES if name != "rprop"),
    Case("sgd", {"momentum": 0.9}, rate=rate),
    Case("rmsprop", {"momentum": 0.9}, rate=rate),
    *(Case(name, kwargs, dtype=complex) for name, kwargs in _COMPLEX),
]


TRANSFORMS = [
    Case("trace", {"decay": 0.9}),
    Case("trace", {"decay": 0.9, "nesterov": True}),
    Case("trace", {"decay": 0.9, "dampening": 0.3}),
    Case("trace", {"decay": 0.9, "nesterov": True}, dtype=complex),
    Case("ema", {"decay": 0.9}),
    Case("ema", {"decay": 0.9, "debias": False}),
    Case("ema", {"decay": 0.9}, dtype=complex),
    Case("add_decayed_weights", {}),
    Case("add_decayed_weights", {"weight_decay": 0.1}),
    Case("add_decayed_weights", {"weight_decay": decay}),
    Case("clip", {"max_delta": 0.5}),
    Case("clip_by_global_norm", {"max_norm": 5.0}),
    Case("clip_by_global_norm", {"max_norm": 5.0}, dtype=complex),
    Case("clip_by_block_rms", {"threshold": 0.7}),
    Case("clip_by_block_rms", {"threshold": 0.7}, dtype=complex),
    Case("adaptive_grad_clip", {"clipping": 0.7}),
    Case("adaptive_grad_clip", {"clipping": 0.7, "eps": 4.0}),
    Case("adaptive_grad_clip", {"clipping": 0.7}, dtype=complex),
    Case("zero_nans", {}),
    Case("centralize", {}),
]


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
    Case("cosine_decay_schedule", {"init_value": 0.9, "decay_steps": 20}),
    Case(
        "cosine_decay_schedule",
        {"init_value": 0.9, "decay_steps": 20, "alpha": 0.2, "exponent": 2.0},
    ),
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
]
