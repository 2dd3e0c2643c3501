"""Functions of trees: arithmetic, norms, casts, random numbers, access to states."""

from gradtx.core.widths import widened as widened
from gradtx.tree.access import (
    get as get,
    get_all_with_path as get_all_with_path,
    map_params as map_params,
    set as set,
)
from gradtx.tree.arithmetic import (
    add as add,
    add_scale as add_scale,
    allclose as allclose,
    batch_shape as batch_shape,
    clip as clip,
    conj as conj,
    div as div,
    full_like as full_like,
    max as max,
    min as min,
    mul as mul,
    ones_like as ones_like,
    real as real,
    scale as scale,
    size as size,
    sub as sub,
    sum as sum,
    vdot as vdot,
    where as where,
    zeros_like as zeros_like,
)
from gradtx.tree.carry import carry_over as carry_over
from gradtx.tree.casting import cast as cast, cast_like as cast_like, dtype as dtype
from gradtx.tree.moments import (
    bias_correction as bias_correction,
    update_infinity_moment as update_infinity_moment,
    update_moment as update_moment,
    update_moment_per_elem_norm as update_moment_per_elem_norm,
)
from gradtx.tree.named import (
    NamedReport as NamedReport,
    from_named as from_named,
    to_named as to_named,
)
from gradtx.tree.norms import norm as norm
from gradtx.tree.paths import (
    NamedTupleKey as NamedTupleKey,
    in_group as in_group,
)
from gradtx.tree.random import (
    random_like as random_like,
    split_key_like as split_key_like,
    unwrap_random_key_data as unwrap_random_key_data,
)
