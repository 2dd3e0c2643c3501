"""The public names of the wrappers, each once."""

from gradtx.wrappers.accumulate import MultiSteps as MultiSteps
from gradtx.wrappers.averages import (
    AverageWeightsState as AverageWeightsState,
    average_weights as average_weights,
)
from gradtx.wrappers.cautious import (
    CautiousState as CautiousState,
    cautious as cautious,
)
from gradtx.wrappers.conditional import (
    ConditionallyMaskState as ConditionallyMaskState,
    ConditionallyTransformState as ConditionallyTransformState,
    ConditionFn as ConditionFn,
    conditionally_mask as conditionally_mask,
    conditionally_transform as conditionally_transform,
)
from gradtx.wrappers.eval_params import eval_params as eval_params
from gradtx.wrappers.flatten import flatten as flatten
from gradtx.wrappers.freeze import (
    freeze as freeze,
    selective_transform as selective_transform,
)
from gradtx.wrappers.gpa import GPAState as GPAState, gpa as gpa
from gradtx.wrappers.groups import groups as groups
from gradtx.wrappers.hyperball import (
    KeepNormsState as KeepNormsState,
    hyperball as hyperball,
)
from gradtx.wrappers.layerwise import layerwise_decay as layerwise_decay
from gradtx.wrappers.lazy import lazy as lazy
from gradtx.wrappers.lookahead import (
    LookaheadParams as LookaheadParams,
    LookaheadState as LookaheadState,
    lookahead as lookahead,
)
from gradtx.wrappers.loss_scaling import (
    LossScalingState as LossScalingState,
    loss_scale as loss_scale,
    loss_scaling as loss_scaling,
)
from gradtx.wrappers.masked import masked as masked
from gradtx.wrappers.maximize import maximize as maximize
from gradtx.wrappers.mechanize import (
    MechanicState as MechanicState,
    mechanize as mechanize,
)
from gradtx.wrappers.metrics import (
    WithMetricsState as WithMetricsState,
    with_metrics as with_metrics,
)
from gradtx.wrappers.micro_steps import MultiStepsState as MultiStepsState
from gradtx.wrappers.monitor import (
    MonitorState as MonitorState,
    SnapshotState as SnapshotState,
    measure_with_ema as measure_with_ema,
    monitor as monitor,
    snapshot as snapshot,
)
from gradtx.wrappers.mup import mup_scale as mup_scale
from gradtx.wrappers.project import project as project
from gradtx.wrappers.read_metrics import metrics as metrics
from gradtx.wrappers.sam import SAMState as SAMState, sam as sam
from gradtx.wrappers.skip import (
    ApplyIfFiniteState as ApplyIfFiniteState,
    apply_if_finite as apply_if_finite,
)
from gradtx.wrappers.skip_rules import (
    skip_large_updates as skip_large_updates,
    skip_not_finite as skip_not_finite,
)
from gradtx.wrappers.spikes import (
    SkipSpikesState as SkipSpikesState,
    skip_spikes as skip_spikes,
)
from gradtx.wrappers.split_complex import (
    SplitRealAndImaginaryArrays as SplitRealAndImaginaryArrays,
    SplitRealAndImaginaryState as SplitRealAndImaginaryState,
    split_real_and_imaginary as split_real_and_imaginary,
)
from gradtx.wrappers.with_decay import decay as decay, with_decay as with_decay
