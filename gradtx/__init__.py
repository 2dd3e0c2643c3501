"""Gradient transformations for JAX: small, exact, and light on memory."""

from gradtx import schedules as schedules
from gradtx import tree as tree
from gradtx.core.apply import apply_updates as apply_updates
from gradtx.core.apply import incremental_update as incremental_update
from gradtx.core.apply import periodic_update as periodic_update
from gradtx.core.compose import MaskedState as MaskedState
from gradtx.core.compose import PartitionState as PartitionState
from gradtx.core.compose import chain as chain
from gradtx.core.compose import multi_transform as multi_transform
from gradtx.core.compose import named_chain as named_chain
from gradtx.core.compose import partition as partition
from gradtx.core.describe import describe as describe
from gradtx.core.transformation import transformation as transformation
from gradtx.core.transformation import (
    with_extra_args_support as with_extra_args_support,
)
from gradtx.core.types import EmptyState as EmptyState
from gradtx.core.types import GradientTransformation as GradientTransformation
from gradtx.core.types import (
    GradientTransformationExtraArgs as GradientTransformationExtraArgs,
)
from gradtx.core.types import MaskedNode as MaskedNode
from gradtx.optimizers.adagrad import adagrad as adagrad
from gradtx.optimizers.adagrad import scale_by_rss as scale_by_rss
from gradtx.optimizers.adam import adam as adam
from gradtx.optimizers.adam import nadam as nadam
from gradtx.optimizers.adam import scale_by_adam as scale_by_adam
from gradtx.optimizers.sgd import sgd as sgd
from gradtx.transforms.clip import adaptive_grad_clip as adaptive_grad_clip
from gradtx.transforms.clip import clip as clip
from gradtx.transforms.clip import clip_by_block_rms as clip_by_block_rms
from gradtx.transforms.clip import clip_by_global_norm as clip_by_global_norm
from gradtx.transforms.decay import add_decayed_weights as add_decayed_weights
from gradtx.transforms.momentum import ema as ema
from gradtx.transforms.momentum import trace as trace
from gradtx.transforms.noise import add_noise as add_noise
from gradtx.transforms.sanitize import centralize as centralize
from gradtx.transforms.sanitize import zero_nans as zero_nans
from gradtx.transforms.scale import scale as scale
from gradtx.transforms.scale import scale_by_learning_rate as scale_by_learning_rate
from gradtx.transforms.scale import scale_by_schedule as scale_by_schedule
from gradtx.transforms.stateless import identity as identity
from gradtx.transforms.stateless import set_to_zero as set_to_zero
from gradtx.transforms.stateless import stateless as stateless
from gradtx.transforms.stateless import (
    stateless_with_tree_map as stateless_with_tree_map,
)
from gradtx.tree.norms import norm as global_norm
