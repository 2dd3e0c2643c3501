"""A function of a batch, computed by micro-batches: less memory, the same numbers."""

from gradtx.microbatching.accumulators import (
    AccumulationType as AccumulationType,
    Accumulator as Accumulator,
)
from gradtx.microbatching.batches import reshape_batch_axis as reshape_batch_axis
from gradtx.microbatching.microbatch import microbatch as microbatch
from gradtx.microbatching.per_example import (
    Aux as Aux,
    micro_grad as micro_grad,
    micro_vmap as micro_vmap,
)
