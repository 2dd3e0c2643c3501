"""Trees of arrays: leaves by name, and errors that name the leaf that is wrong."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp

# The transformations at work, the outermost first: errors begin with their names.
callers: ContextVar[tuple[str, ...]] = ContextVar("gradtx_callers", default=())


@contextmanager
def at_work(*names: str) -> Iterator[None]:
    """Inside of it errors begin with the names, after those that are outside."""
    token = callers.set((*callers.get(), *names))
    try:
        yield
    finally:
        callers.reset(token)


def is_none(x: Any) -> bool:
    return x is None


def absent(leaf: Any) -> bool:
    """No gradient here: `None`, or the float0 that `jax.grad` gives for integers."""
    return leaf is None or getattr(leaf, "dtype", None) == jax.dtypes.float0


def as_array(x: Any) -> jax.Array:
    """`jnp.asarray`, at once for what is an array: outside of `jit` that counts."""
    return x if isinstance(x, jax.Array) else jnp.asarray(x)


def dtype_of(x: Any) -> Any:
    """The dtype that JAX gives to a leaf."""
    return x.dtype if isinstance(x, jax.Array) else jnp.result_type(x)


@functools.cache
def is_inexact(dtype: Any) -> bool:
    """Whether a dtype is floating or complex."""
    return bool(jnp.issubdtype(dtype, jnp.inexact))


def leaves_of(tree: Any) -> tuple[list[Any], Any]:
    """The leaves, `None` among them, and the structure."""
    return jax.tree.flatten(tree, is_leaf=is_none)


def paths_of(tree: Any) -> list[tuple[str, Any]]:
    """The leaves, `None` among them, each with its path as one would write it."""
    leaves = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_none)[0]
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves]


def failure(text: str, kind: type[Exception] = ValueError) -> Exception:
    """An error that begins with the names of the transformations at work."""
    names = " > ".join(callers.get())
    return kind(f"{names}: {text}" if names else text)


def leaves_like(treedef: Any, tree: Any, name: str, like: Any) -> list[Any]:
    """The subtrees of `tree` at the leaves of `like` (the updates, with `treedef`)."""
    try:
        return treedef.flatten_up_to(tree)
    except (ValueError, TypeError, KeyError):
        raise failure(first_difference("updates", like, name, tree)) from None


def first_difference(name: str, tree: Any, other_name: str, other: Any) -> str:
    """What to say of two trees of different structures."""
    here = [path for path, _ in paths_of(tree)]
    there = [path for path, _ in paths_of(other)]
    for path in here:
        if path not in there:
            return f"{name}{path} has no counterpart in {other_name}: {_outline(there)}"
    for path in there:
        if path not in here:
            return f"{other_name}{path} has no counterpart in {name}: {_outline(here)}"
    return (
        f"{name} and {other_name} are trees of different types: "
        f"{jax.tree.structure(tree)} and {jax.tree.structure(other)}."
    )


def _outline(paths: list[str]) -> str:
    shown = ", ".join(path or "(one leaf)" for path in paths[:5]) or "no leaves"
    return f"it has {shown}{', ...' if len(paths) > 5 else ''}."


def check_match(name: str, tree: Any, other_name: str, other: Any) -> None:
    """Raise unless both trees have the same structure, shapes and kinds of numbers.

    `None` in the first (no update for this leaf) goes with anything.
    """
    leaves, treedef = leaves_of(tree)
    others, other_def = leaves_of(other)
    if treedef != other_def:
        raise failure(first_difference(name, tree, other_name, other))
    for i, (a, b) in enumerate(zip(leaves, others, strict=True)):
        if absent(a):
            continue
        problem = leaf_problem(name, a, other_name, b)
        if problem:
            path = paths_of(tree)[i][0]
            raise failure(problem.format(path=path))


def check_not_swapped(updates: Any, state: Any, params: Any) -> None:
    """Raise if the state has the structure that the parameters should have."""
    treedef = leaves_of(updates)[1]
    if leaves_of(params)[1] != treedef and leaves_of(state)[1] == treedef:
        raise failure(
            "the second argument looks like parameters, the third like a state. Call "
            "update(updates, state, params).",
            TypeError,
        )


def leaf_problem(name: str, a: Any, other_name: str, b: Any) -> str | None:
    """What to say of two leaves that do not fit, with {path} in it; else nothing."""
    if b is None:
        return f"{name}{{path}} is an array, {other_name}{{path}} is None."
    if jnp.shape(a) != jnp.shape(b):
        return (
            f"{name}{{path}} has shape {jnp.shape(a)}, "
            f"{other_name}{{path}} has {jnp.shape(b)}."
        )
    dtype, other_dtype = dtype_of(a), dtype_of(b)
    if dtype.kind == "c" and other_dtype.kind != "c":
        return (
            f"{name}{{path}} is {dtype}, {other_name}{{path}} is {other_dtype}: the "
            f"imaginary part would be lost."
        )
    return None


def check_inexact(leaves: list[Any], tree: Any, name: str = "updates") -> None:
    """Raise unless every leaf that is there is floating or complex."""
    for i, leaf in enumerate(leaves):
        if absent(leaf):
            continue
        try:
            dtype = dtype_of(leaf)
        except TypeError:
            dtype = type(leaf).__name__
        else:
            if is_inexact(dtype):
                continue
        raise failure(
            f"{name}{paths_of(tree)[i][0]} is {dtype}; it must be floating or complex. "
            f"Give None for a leaf that is not trained, or mask it.",
            TypeError,
        )


def check_arrays(params: Any) -> None:
    """Raise unless every leaf that is there is an array or a number."""
    for i, leaf in enumerate(leaves_of(params)[0]):
        if absent(leaf):
            continue
        try:
            dtype_of(leaf)
        except TypeError:
            raise failure(
                f"params{paths_of(params)[i][0]} is {leaf!r:.60}, not an array. Give "
                f"the arrays only; None stands for the rest.",
                TypeError,
            ) from None


def map_present(fn: Callable[[Any], Any], tree: Any) -> Any:
    """Map over the leaves that are there."""
    return jax.tree.map(lambda x: x if absent(x) else fn(x), tree)


def or_else(tree: Any, other: Any) -> Any:
    """The leaves of one tree, those of another where there is none."""
    return jax.tree.map(
        lambda x, y: y if x is None else x, tree, other, is_leaf=is_none
    )


def compute_dtype(dtype: Any) -> Any:
    """The dtype to compute in: the given one, at least float32."""
    # Not by promote_types, which refuses under jax.numpy_dtype_promotion("strict").
    if not jnp.issubdtype(dtype, jnp.inexact) or jnp.finfo(dtype).bits < 32:
        return jnp.dtype(jnp.float32)
    return jnp.dtype(dtype)
