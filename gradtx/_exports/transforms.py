"""The public names of the transformations, each once."""

from gradtx.transforms.apply_every import (
    ApplyEvery as ApplyEvery,
    apply_every as apply_every,
)
from gradtx.transforms.blocks import (
    scale_by_param_block_norm as scale_by_param_block_norm,
    scale_by_param_block_rms as scale_by_param_block_rms,
)
from gradtx.transforms.clip import (
    adaptive_grad_clip as adaptive_grad_clip,
    clip as clip,
    clip_by_block_rms as clip_by_block_rms,
    clip_by_global_norm as clip_by_global_norm,
    unitwise_clip as unitwise_clip,
    unitwise_norm as unitwise_norm,
)
from gradtx.transforms.clip_by_history import (
    ClipByHistoryState as ClipByHistoryState,
    clip_by_history as clip_by_history,
)
from gradtx.transforms.decay import (
    AddDecayedWeightsState as AddDecayedWeightsState,
    add_decayed_weights as add_decayed_weights,
)
from gradtx.transforms.distance_over_gradients import (
    ScaleByDistanceOverGradientsState as ScaleByDistanceOverGradientsState,
    scale_by_distance_over_gradients as scale_by_distance_over_gradients,
)
from gradtx.transforms.grokfast import (
    GrokfastState as GrokfastState,
    grokfast as grokfast,
)
from gradtx.transforms.momentum import (
    DampenedTraceState as DampenedTraceState,
    EmaState as EmaState,
    TraceState as TraceState,
    ema as ema,
    trace as trace,
)
from gradtx.transforms.noise import (
    AddNoiseState as AddNoiseState,
    add_noise as add_noise,
)
from gradtx.transforms.nonnegative import (
    NonNegativeParamsState as NonNegativeParamsState,
    keep_params_nonnegative as keep_params_nonnegative,
)
from gradtx.transforms.normalize import (
    NormalizeState as NormalizeState,
    normalize as normalize,
    normalize_by_update_norm as normalize_by_update_norm,
)
from gradtx.transforms.per_example import (
    per_example_global_norm_clip as per_example_global_norm_clip,
    per_example_layer_norm_clip as per_example_layer_norm_clip,
)
from gradtx.transforms.plateau import (
    ReduceLROnPlateauState as ReduceLROnPlateauState,
    reduce_on_plateau as reduce_on_plateau,
)
from gradtx.transforms.sanitize import (
    ZeroNansState as ZeroNansState,
    centralize as centralize,
    zero_nans as zero_nans,
)
from gradtx.transforms.scale import (
    ScaleByLearningRateState as ScaleByLearningRateState,
    ScaleByScheduleState as ScaleByScheduleState,
    scale as scale,
    scale_by_learning_rate as scale_by_learning_rate,
    scale_by_schedule as scale_by_schedule,
)
from gradtx.transforms.schedule_free import (
    ScheduleFreeState as ScheduleFreeState,
    schedule_free as schedule_free,
    schedule_free_eval_params as schedule_free_eval_params,
)
from gradtx.transforms.shrink import ShrinkWeightsState as ShrinkWeightsState
from gradtx.transforms.stateless import (
    identity as identity,
    set_to_zero as set_to_zero,
    stateless as stateless,
    stateless_with_tree_map as stateless_with_tree_map,
)
from gradtx.transforms.trust_ratio import (
    ScaleByTrustRatioState as ScaleByTrustRatioState,
    scale_by_trust_ratio as scale_by_trust_ratio,
)
