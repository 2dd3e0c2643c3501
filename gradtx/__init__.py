"""Gradient transformations for JAX: small, exact, and light on memory."""

from gradtx import (
    distributed as distributed,
    losses as losses,
    plot as plot,
    schedules as schedules,
    testing as testing,
    tree as tree,
)
from gradtx.core import check as check
from gradtx.core.apply import (
    apply_updates as apply_updates,
    incremental_update as incremental_update,
    periodic_update as periodic_update,
)
from gradtx.core.compose import (
    MaskedState as MaskedState,
    PartitionState as PartitionState,
    chain as chain,
    multi_transform as multi_transform,
    named_chain as named_chain,
    partition as partition,
)
from gradtx.core.describe import describe as describe
from gradtx.core.interop import to_optax as to_optax
from gradtx.core.leafwise import (
    Slot as Slot,
    full as full,
    leafwise as leafwise,
    zeros as zeros,
)
from gradtx.core.numerics import safe_increment as safe_increment
from gradtx.core.pair import (
    GradientTransformation as GradientTransformation,
    GradientTransformationExtraArgs as GradientTransformationExtraArgs,
)
from gradtx.core.transformation import (
    transformation as transformation,
    with_extra_args_support as with_extra_args_support,
)
from gradtx.core.types import (
    EmptyState as EmptyState,
    MaskedNode as MaskedNode,
    Params as Params,
    Scalar as Scalar,
    ScalarOrSchedule as ScalarOrSchedule,
    Schedule as Schedule,
    State as State,
    Updates as Updates,
)
from gradtx.linesearch.backtracking import (
    BacktrackingLinesearchInfo as BacktrackingLinesearchInfo,
    ScaleByBacktrackingLinesearchState as ScaleByBacktrackingLinesearchState,
    scale_by_backtracking_linesearch as scale_by_backtracking_linesearch,
)
from gradtx.linesearch.reuse import (
    value_and_grad_from_state as value_and_grad_from_state,
)
from gradtx.linesearch.zoom import (
    ScaleByZoomLinesearchState as ScaleByZoomLinesearchState,
    ZoomLinesearchInfo as ZoomLinesearchInfo,
    scale_by_zoom_linesearch as scale_by_zoom_linesearch,
)
from gradtx.losses.classification import (
    hinge_loss as hinge_loss,
    multiclass_hinge_loss as multiclass_hinge_loss,
    sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy,
    softmax_cross_entropy as softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
)
from gradtx.losses.regression import (
    huber_loss as huber_loss,
    l2_loss as l2_loss,
    squared_error as squared_error,
)
from gradtx.optimizers.adadelta import (
    ScaleByAdaDeltaState as ScaleByAdaDeltaState,
    adadelta as adadelta,
    scale_by_adadelta as scale_by_adadelta,
)
from gradtx.optimizers.adagrad import (
    ScaleByRssState as ScaleByRssState,
    adagrad as adagrad,
    scale_by_rss as scale_by_rss,
)
from gradtx.optimizers.adam import (
    ScaleByAdamState as ScaleByAdamState,
    adam as adam,
    scale_by_adam as scale_by_adam,
)
from gradtx.optimizers.adam_lp import (
    adam_lp as adam_lp,
    scale_by_adam_lp as scale_by_adam_lp,
)
from gradtx.optimizers.adamax import (
    adamax as adamax,
    adamaxw as adamaxw,
    scale_by_adamax as scale_by_adamax,
)
from gradtx.optimizers.adamw import adamw as adamw, nadamw as nadamw
from gradtx.optimizers.amsgrad import (
    ScaleByAmsgradState as ScaleByAmsgradState,
    amsgrad as amsgrad,
    scale_by_amsgrad as scale_by_amsgrad,
)
from gradtx.optimizers.lbfgs import (
    ScaleByLBFGSState as ScaleByLBFGSState,
    lbfgs as lbfgs,
    scale_by_lbfgs as scale_by_lbfgs,
)
from gradtx.optimizers.lion import (
    ScaleByLionState as ScaleByLionState,
    lion as lion,
    scale_by_lion as scale_by_lion,
)
from gradtx.optimizers.nadam import (
    ScaleByNadamState as ScaleByNadamState,
    nadam as nadam,
    scale_by_nadam as scale_by_nadam,
)
from gradtx.optimizers.newton import (
    ScaleByNewtonCGState as ScaleByNewtonCGState,
    newton as newton,
    scale_by_newton_cg as scale_by_newton_cg,
)
from gradtx.optimizers.radam import radam as radam, scale_by_radam as scale_by_radam
from gradtx.optimizers.rmsprop import (
    ScaleByRmsState as ScaleByRmsState,
    ScaleByRmsWithCountState as ScaleByRmsWithCountState,
    ScaleByRStdDevState as ScaleByRStdDevState,
    ScaleByRStdDevWithCountState as ScaleByRStdDevWithCountState,
    rmsprop as rmsprop,
    scale_by_rms as scale_by_rms,
    scale_by_stddev as scale_by_stddev,
)
from gradtx.optimizers.rprop import (
    ScaleByRpropState as ScaleByRpropState,
    rprop as rprop,
    scale_by_rprop as scale_by_rprop,
)
from gradtx.optimizers.sgd import sgd as sgd
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
from gradtx.schedules.inject import (
    InjectHyperparamsState as InjectHyperparamsState,
    inject_hyperparams as inject_hyperparams,
)
from gradtx.schedules.inverse_sqrt import inverse_sqrt_schedule as inverse_sqrt_schedule
from gradtx.schedules.join import join_schedules as join_schedules
from gradtx.schedules.warmup import (
    cosine_onecycle_schedule as cosine_onecycle_schedule,
    linear_onecycle_schedule as linear_onecycle_schedule,
    warmup_constant_schedule as warmup_constant_schedule,
    warmup_cosine_decay_schedule as warmup_cosine_decay_schedule,
    warmup_exponential_decay_schedule as warmup_exponential_decay_schedule,
)
from gradtx.transforms.clip import (
    adaptive_grad_clip as adaptive_grad_clip,
    clip as clip,
    clip_by_block_rms as clip_by_block_rms,
    clip_by_global_norm as clip_by_global_norm,
)
from gradtx.transforms.decay import (
    AddDecayedWeightsState as AddDecayedWeightsState,
    add_decayed_weights as add_decayed_weights,
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
from gradtx.transforms.stateless import (
    identity as identity,
    set_to_zero as set_to_zero,
    stateless as stateless,
    stateless_with_tree_map as stateless_with_tree_map,
)
from gradtx.tree.norms import norm as global_norm
from gradtx.wrappers.accumulate import (
    MultiSteps as MultiSteps,
    MultiStepsState as MultiStepsState,
)
from gradtx.wrappers.flatten import flatten as flatten
from gradtx.wrappers.freeze import freeze as freeze
from gradtx.wrappers.lookahead import (
    LookaheadParams as LookaheadParams,
    LookaheadState as LookaheadState,
    lookahead as lookahead,
)
from gradtx.wrappers.masked import masked as masked
from gradtx.wrappers.maximize import maximize as maximize
from gradtx.wrappers.skip import (
    ApplyIfFiniteState as ApplyIfFiniteState,
    apply_if_finite as apply_if_finite,
)
from gradtx.wrappers.skip_rules import (
    skip_large_updates as skip_large_updates,
    skip_not_finite as skip_not_finite,
)

__version__ = "0.1.0"  # pyproject.toml reads it here
