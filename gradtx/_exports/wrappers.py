"""The public names of the wrappers, each once."""

from gradtx.wrappers.accumulate import MultiSteps as MultiSteps
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
from gradtx.wrappers.flatten import flatten as flatten
from gradtx.wrappers.freeze import (
    freeze as freeze,
    selective_transform as selective_transform,
)
from gradtx.wrappers.groups import groups as groups
from gradtx.wrappers.lookahead import (
    LookaheadParams as LookaheadParams,
    LookaheadState as LookaheadState,
    lookahead as lookahead,
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
from gradtx.wrappers.split_complex import (
    SplitRealAndImaginaryArrays as SplitRealAndImaginaryArrays,
    SplitRealAndImaginaryState as SplitRealAndImaginaryState,
    split_real_and_imaginary as split_real_and_imaginary,
)
