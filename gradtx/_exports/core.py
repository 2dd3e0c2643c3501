"""The public names of the core, each once."""

from gradtx.core import check as require
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
from gradtx.tree.norms import global_norm as global_norm
from gradtx.tree.safe import (
    safe_norm as safe_norm,
    safe_root_mean_squares as safe_root_mean_squares,
    scale_gradient as scale_gradient,
)
