"""The schedules, each name once: for `gradtx` and for `gradtx.schedules`."""

from gradtx.schedules.basic import (
    constant_schedule as constant_schedule,
    exponential_decay as exponential_decay,
    linear_schedule as linear_schedule,
    piecewise_constant_schedule as piecewise_constant_schedule,
    piecewise_interpolate_schedule as piecewise_interpolate_schedule,
    polynomial_schedule as polynomial_schedule,
)
from gradtx.schedules.cosine import (
    cosine_decay_schedule as cosine_decay_schedule,
    sgdr_schedule as sgdr_schedule,
)
from gradtx.schedules.cyclic import (
    cosine_restarts_schedule as cosine_restarts_schedule,
    cyclic_schedule as cyclic_schedule,
    onecycle_schedule as onecycle_schedule,
)
from gradtx.schedules.inject import (
    InjectHyperparamsState as InjectHyperparamsState,
    InjectStatefulHyperparamsState as InjectStatefulHyperparamsState,
    inject_hyperparams as inject_hyperparams,
    inject_stateful_hyperparams as inject_stateful_hyperparams,
)
from gradtx.schedules.inverse_sqrt import (
    inverse_sqrt_schedule as inverse_sqrt_schedule,
)
from gradtx.schedules.join import join_schedules as join_schedules
from gradtx.schedules.stable import (
    warmup_stable_decay_schedule as warmup_stable_decay_schedule,
)
from gradtx.schedules.stateful import (
    StatefulSchedule as StatefulSchedule,
    WrappedSchedule as WrappedSchedule,
    WrappedScheduleState as WrappedScheduleState,
)
from gradtx.schedules.timescales import (
    decay_timescale as decay_timescale,
    rescaled_decay as rescaled_decay,
)
from gradtx.schedules.warmup import (
    cosine_onecycle_schedule as cosine_onecycle_schedule,
    linear_onecycle_schedule as linear_onecycle_schedule,
    warmup_constant_schedule as warmup_constant_schedule,
    warmup_cosine_decay_schedule as warmup_cosine_decay_schedule,
    warmup_exponential_decay_schedule as warmup_exponential_decay_schedule,
)
