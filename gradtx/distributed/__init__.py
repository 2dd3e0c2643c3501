"""Training on many devices: averages, a state that is shared out, and where it lies."""

from gradtx.distributed.average import average_across as average_across
from gradtx.distributed.costs import explain as explain
from gradtx.distributed.replicas import check_replicas as check_replicas
from gradtx.distributed.sharding import (
    check_shardings as check_shardings,
    state_sharding as state_sharding,
)
from gradtx.distributed.specs import shard_specs as shard_specs
from gradtx.distributed.zero import zero1 as zero1
