"""Complex numbers as pairs of real ones."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core.masking import functions_of
from gradtx.core.plan import check_state
from gradtx.core.transformation import hands_on, inner_of, transformation
from gradtx.core.trees import absent, dtype_of, is_abstract, is_none, map_present
from gradtx.core.types import State


class SplitRealAndImaginaryArrays(NamedTuple):
    """A complex array as two real ones.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> tx = gradtx.split_real_and_imaginary(gradtx.trace(0.9))
      >>> jax.tree.map(jnp.shape, tx.init(jnp.ones(3) * 1j).inner_state.trace)
      SplitRealAndImaginaryArrays(real=(3,), imaginary=(3,))
    """

    real: Any
    imaginary: Any


class SplitRealAndImaginaryState(NamedTuple):
    inner_state: State  # of a SplitRealAndImaginaryArrays for each complex leaf


@transformation
def split_real_and_imaginary(inner: Any):
    """Transform the parts of complex numbers as two real numbers each.

    What an optimizer does to a complex number is mostly done by its size |g|. Here
    each part is an entry of its own: Adam then divides both by moments of their own,
    and what orders numbers (a clip of entries, Rprop) or needs a Hessian works too.

    Gradients are directions up, the conjugates of what `jax.grad` gives for complex
    parameters. `value_fn`, `obj_fn` and `grad_fn` are called with complex parameters
    as ever; `grad`, as `jax.grad` gives it, is conjugated on its way.

    State: the inner one, of parts.

    Args:
      inner: the transformation to run on the parts; real leaves go through as they are.

    Raises:
      TypeError: if inner is not a transformation.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.split_real_and_imaginary(gradtx.clip(1.0))
      >>> gradient = jnp.array([3 - 4j, 0.5 + 2j])
      >>> tx.update(gradient, tx.init(gradient))[0]
      Array([1. -1.j, 0.5+1.j], dtype=complex64)
    """
    tx = inner_of("split_real_and_imaginary: inner", inner)

    @hands_on
    def init(params):
        return SplitRealAndImaginaryState(tx.init(jax.tree.map(_parts, params)))

    def parted(updates, state, params, extra):
        check_state(state, SplitRealAndImaginaryState)

        def like_params(tree):
            if params is None:
                return map_present(_parts, tree)
            return jax.tree.map(_parts_for, tree, params, is_leaf=is_none)

        given = functions_of(extra, _joined, like_params)
        if callable(extra.get("value_fn")) and extra.get("grad") is not None:
            given["grad"] = like_params(map_present(jnp.conj, extra["grad"]))
        halves = None if params is None else map_present(_parts, params)
        return like_params(updates), state.inner_state, halves, given

    def update(updates, state, params=None, **extra):
        updates, inner_state, params, extra = parted(updates, state, params, extra)
        new, inner_state = tx.update(updates, inner_state, params, **extra)
        return _joined(new), SplitRealAndImaginaryState(inner_state)

    def step(updates, state, params, **extra):
        updates, inner_state, params, extra = parted(updates, state, params, extra)
        new, inner_state = tx.step(updates, inner_state, params, **extra)
        return _joined(new), SplitRealAndImaginaryState(inner_state)

    return init, update, step


def _is_complex(x: Any) -> bool:
    return not absent(x) and jnp.issubdtype(dtype_of(x), jnp.complexfloating)


def _parts(x: Any) -> Any:
    """The two parts of what is complex; anything else as it is."""
    is_number = hasattr(x, "dtype") or type(x) in (complex,)
    if not is_number or not _is_complex(x):
        return x  # what is no number is for inner to name
    if is_abstract(x):
        dtype = jnp.finfo(x.dtype).dtype
        part = jax.ShapeDtypeStruct(x.shape, dtype, sharding=x.sharding)
        return SplitRealAndImaginaryArrays(part, part)
    return SplitRealAndImaginaryArrays(jnp.real(x), jnp.imag(x))


def _parts_for(g: Any, p: Any) -> Any:
    """Two parts for each parameter that has two."""
    if _is_complex(g) or not _is_complex(p):
        return g if absent(g) else _parts(g)
    if absent(g):
        return SplitRealAndImaginaryArrays(g, g)
    return SplitRealAndImaginaryArrays(g, jnp.zeros_like(g))


def _joined(tree: Any) -> Any:
    """The parts put together. Not by real + 1j imag: 1j inf has a real part of NaN."""

    def join(x: Any) -> Any:
        if not isinstance(x, SplitRealAndImaginaryArrays):
            return x
        if absent(x.real) or absent(x.imaginary):
            return None
        return lax.complex(x.real, x.imaginary)

    def is_pair(x: Any) -> bool:
        return isinstance(x, SplitRealAndImaginaryArrays)

    return jax.tree.map(join, tree, is_leaf=is_pair)
