"""State in 8 or 4 bits, around any transformation."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.encoded import encoded_zeros, encoding, stepping
from gradtx.core.numerics import safe_increment
from gradtx.core.plan import check_state
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import dtype_of, failure
from gradtx.precision.codecs import CODECS

WIDTHS = (4, 8, 32)


class QuantizeState(NamedTuple):
    count: jax.Array  # steps taken, int32: how the codes of a step are rounded
    inner_state: Any  # the inner transformation's, with codes for its averages


@transformation
def quantize_state(
    inner: Any,
    bits: int | Mapping[str, int] = 8,
    *,
    exclude: Callable[[str], bool] | None = None,
    min_size: int = 4096,
):
    """Store the averages that a transformation keeps in 8 or 4 bits.

        x = decode(s);   u, x' = inner(g, x);   s' = encode(x')

    Any transformation of `leafwise` rules will do, and chains and wrappers of them:
    moments, momentum, sums of squares. What starts as a copy of the parameters stays
    as it is, since a difference of it and the parameters would be lost, and so do
    counts, accumulators of `MultiSteps`, and all that is not shaped like a parameter.

    Numbers are stored in blocks (256 entries; 128 if some have 4 bits) that share a
    power of two, at places that lie 11 (9 for squares) to the octave; 4 bits have one
    to the octave. They are rounded up or down at random, so that on average a number
    comes back as it was: an average that moves by less than a step still moves. The
    bits that decide come from the number, its place in the block, the step and the
    slot, so that a run goes on bit for bit after a stop, and each mesh gives the same.
    A second moment is never rounded to zero, unless its whole block is.

    A block is a tile of the leaf (of a matrix 8 rows by 32 columns, or 16 by 16), so
    that codes can be split over devices as the leaf is. On a CPU a large leaf is
    updated in chunks, in place; its averages are never there in full.

    State: per parameter 1 + 1/256 bytes for each average with 8 bits, 1/2 + 1/128 with
    4; one int32. Temporaries: those of a chunk of about 65,000 entries.

    Args:
      inner: the transformation whose state is stored.
      bits: 8, 4 or 32 (as it is); or from names of averages to one of them, as in
        `{"mu": 4, "nu": 8}`, and 32 for the rest.
      exclude: a function of a parameter's path, as in "['head']['kernel']", which says
        whether its averages stay as they are.
      min_size: leaves of fewer entries stay as they are, vectors of a model for the
        most part: nothing is to be had there.

    Raises:
      ValueError: other bits, or a transformation that keeps no average.
      TypeError: if inner is not a transformation.

    Source: after Dettmers et al., 8-bit optimizers via block-wise quantization (2022);
    the codes and how they are rounded are gradtx's own.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.quantize_state(gradtx.adamw(1e-3))
      >>> params = jnp.ones((64, 64))
      >>> params, state = tx.step(0.1 * params, tx.init(params), params)
      >>> mu = state.inner_state[0].mu
      >>> mu.codes.shape, mu.codes.dtype, mu.scales.shape, mu.scales.dtype
      ((64, 64), dtype('int8'), (4, 4), dtype('uint8'))
      >>> f"{mu.decode().mean():.4f} of entries from {mu.decode().min():.4f} on"
      '0.0100 of entries from 0.0099 on'
    """
    tx = inner_of("quantize_state: inner", inner)
    check.count("min_size", min_size, 1)
    widths = dict(bits) if isinstance(bits, Mapping) else {"bits": bits}
    for name, chosen in widths.items():
        check.choice(f"quantize_state: {name}", chosen, WIDTHS)

    # One for all averages, whose blocks are then computed with as they are.
    block = 128 if 4 in widths.values() else 256

    def width(name: str) -> int:
        return widths.get(name, 32) if isinstance(bits, Mapping) else bits

    def init(params):
        names: set[str] = set()

        def make(slot: Any, name: str, path: str, p: Any) -> Any:
            names.add(name)
            codec = CODECS.get((width(name), not slot.real))
            small = not p.shape or math.prod(p.shape) < min_size
            real = jnp.issubdtype(dtype_of(p), jnp.floating)
            if codec is None or small or not real or (exclude and exclude(path)):
                return slot.init(p)
            codec = dataclasses.replace(codec, block=block)
            empty = encoded_zeros(p, codec, jax.eval_shape(slot.init, p).dtype)
            if isinstance(slot.value, int | float) and slot.value == 0:
                return empty
            return empty.encode(slot.init(p), jnp.zeros([], jnp.uint32))

        with encoding(make):
            state = tx.init(params)
        if jax.tree.leaves(params):
            _check_names(tx, names, widths if isinstance(bits, Mapping) else {})
        return QuantizeState(jnp.zeros([], jnp.int32), state)

    def run(call, updates, state, params, extra):
        check_state(state, QuantizeState)
        count = safe_increment(state.count)
        with stepping(count):
            result, new = call(updates, state.inner_state, params, **extra)
        return result, QuantizeState(count, new)

    def update(updates, state, params=None, **extra):
        return run(tx.update, updates, state, params, extra)

    def step(updates, state, params, **extra):
        return run(tx.step, updates, state, params, extra)

    return init, update, step


def _check_names(tx: Any, names: set[str], widths: Mapping[str, int]) -> None:
    """Raise unless there are averages, and those that were named."""
    if not names:
        raise failure(
            f"{tx!r:.60} keeps no average shaped like a parameter, so there is nothing "
            f"to store in fewer bits."
        )
    for name in widths:
        if name not in names:
            raise failure(
                f"there is no average {name!r} in {tx!r:.60}, only "
                f"{', '.join(sorted(names))}."
            )
