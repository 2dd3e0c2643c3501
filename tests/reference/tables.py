"""The tables that the tests run through: every factory with every option."""

from . import (
    optimizers,
    optimizers_adam_family,
    optimizers_adaptive,
    optimizers_curvature,
    optimizers_factored,
    optimizers_layerwise,
    optimizers_matrix,
    optimizers_rate_free,
    rows,
    rows_adam_family,
    rows_curvature,
    rows_factored,
    rows_layerwise,
    rows_matrix,
    rows_rate_free,
    transforms,
    transforms_adam_family,
    transforms_factored,
    transforms_wrappers,
)
from .cases import Case, decay, parametrize as parametrize, rate
from .rows_schedules import SCHEDULES as SCHEDULES

# In NumPy, from the papers; and the rows of what they hold, each with ROWS, COMPLEX
# and CONSTANT, and SCHEDULED where defaults are not tried with a schedule.
REFERENCES = [
    optimizers,
    optimizers_adam_family,
    optimizers_adaptive,
    optimizers_curvature,
    optimizers_factored,
    optimizers_layerwise,
    optimizers_matrix,
    optimizers_rate_free,
]
TABLES = [
    rows,
    rows_adam_family,
    rows_curvature,
    rows_factored,
    rows_layerwise,
    rows_matrix,
    rows_rate_free,
]
# Their norms and products go over all leaves, which the reference has as one vector.
WHOLE = optimizers_rate_free.WHOLE
TRANSFORM_REFERENCES = [
    transforms,
    transforms_adam_family,
    transforms_factored,
    transforms_wrappers,
]

_ROWS = [row for table in TABLES for row in table.ROWS]
_CONSTANT = {name for table in TABLES for name in table.CONSTANT}
_SCHEDULED = {k: v for t in TABLES for k, v in getattr(t, "SCHEDULED", {}).items()}
NAMES = sorted({name for name, _ in _ROWS})

OPTIMIZERS = [
    *(Case(name, kwargs) for name, kwargs in _ROWS),
    *(
        Case(name, _SCHEDULED.get(name, {}), rate=rate)
        for name in NAMES
        if name not in _CONSTANT
    ),
    Case("sgd", {"momentum": 0.9}, rate=rate),
    Case("rmsprop", {"momentum": 0.9}, rate=rate),
    *(Case(*row, dtype=complex) for table in TABLES for row in table.COMPLEX),
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
    *transforms_adam_family.CASES,
    *transforms_wrappers.CASES,
    *transforms_factored.CASES,
]
