"""Trees of arrays: leaves by name, and errors that name the leaf that is wrong."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

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


def is_function(value: Any) -> TypeGuard[Callable[..., Any]]:
    """Whether to call it, where a tree or a function may be given.

    A module with `__call__` (Equinox) is a tree; one without leaves, and what wraps a
    function in a node (`Partial`, `equinox.filter_jit`), is none.
    """
    if not callable(value):
        return False
    if isinstance(value, jax.tree_util.Partial) or hasattr(value, "__wrapped__"):
        return True
    leaves = jax.tree.leaves(value)
    return not leaves or leaves[0] is value


def as_array(x: Any) -> jax.Array:
    """`jnp.asarray`, at once for what is an array: outside of `jit` that counts."""
    return x if isinstance(x, jax.Array) else jnp.asarray(x)


def with_shape(x: Any) -> Any:
    """A Python number as an array; what has a shape stays, be it without numbers."""
    return x if hasattr(x, "shape") else jnp.asarray(x)


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
    path, one, two = first_misfit(tree, other) or ("", tree, other)
    return (
        f"{name} and {other_name} are trees of different types: {name}{path} is "
        f"{one}, {other_name}{path} is {two}."
    )


def first_misfit(
    tree: Any,
    other: Any,
    is_leaf: Callable[[Any], bool] = is_none,
    prefix: bool = False,
    path: tuple[Any, ...] = (),
) -> tuple[str, str, str] | None:
    """Where two trees begin to differ, and what either has there, in words.

    Args:
      is_leaf: knows nodes of the first that count as leaves.
      prefix: whether a leaf of the first goes with any tree of the other.
    """
    here = _children(tree, is_leaf)
    there = _children(other, is_none)
    if here is None and (prefix or there is None):
        return None
    if here is None or there is None or here[1] != there[1]:
        words = _kind(tree, here), _kind(other, there)
        if words[0] == words[1]:
            words = f"{words[0]} {here and here[1]}", f"{words[1]} {there and there[1]}"
        return jax.tree_util.keystr(path), *words
    for (key, one), (_, two) in zip(here[0], there[0], strict=True):
        found = first_misfit(one, two, is_leaf, prefix, (*path, *key))
        if found is not None:
            return found
    return None


def _children(node: Any, is_leaf: Callable[[Any], bool]) -> Any:
    """The children of a node with their keys, and its own structure; None of a leaf."""

    def below(x: Any) -> bool:
        return x is not node

    if is_leaf(node) or jax.tree_util.all_leaves([node]):
        return None
    pairs = jax.tree_util.tree_flatten_with_path(node, is_leaf=below)[0]
    return pairs, jax.tree.structure(node, is_leaf=below)


def _kind(node: Any, children: Any) -> str:
    """A node in words: its type, and its keys or how many children it has."""
    if children is None:
        is_array = hasattr(node, "dtype") and hasattr(node, "shape")
        return "an array" if is_array else f"{node!r:.60}"
    kind, pairs = type(node), children[0]
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "collections"):
        name = f"{kind.__module__}.{name}"
    if isinstance(node, tuple | list):
        return f"a {name} of {len(pairs)}"
    keys = ", ".join(jax.tree_util.keystr(key) for key, _ in pairs[:5])
    return f"a {name} with {keys or 'nothing'}{', ...' if len(pairs) > 5 else ''}"


def _outline(paths: list[str]) -> str:
    shown = ", ".join(path or "(one leaf)" for path in paths[:5]) or "no leaves"
    return f"it has {shown}{', ...' if len(paths) > 5 else ''}."


def check_match(
    name: str, tree: Any, other_name: str, other: Any, *, less: bool = False
) -> None:
    """Raise unless both trees have the same structure, shapes and kinds of numbers.

    `None` in the first (no update for this leaf) goes with anything; with `less`, in
    the other, too.
    """
    leaves, treedef = leaves_of(tree)
    others, other_def = leaves_of(other)
    if treedef != other_def:
        raise failure(first_difference(name, tree, other_name, other))
    for i, (a, b) in enumerate(zip(leaves, others, strict=True)):
        if absent(a) or (less and b is None):
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


def floating(leaves: list[Any], tree: Any, whole: bool) -> list[Any]:
    """The leaves, if all that are there are floating or complex; else `check_inexact`.

    With `whole`, integers are taken, too, as float32.
    """

    def one(leaf: Any) -> Any:
        known = isinstance(leaf, int | np.ndarray | np.generic | jax.Array)
        if not known or absent(leaf) or dtype_of(leaf).kind not in "iu":
            return leaf
        return jnp.asarray(leaf, jnp.float32)

    leaves = [one(leaf) for leaf in leaves] if whole else leaves
    check_inexact(leaves, tree)
    return leaves


def check_arrays(params: Any) -> None:
    """Raise unless every leaf that is there is an array of numbers, or its shape."""
    for i, leaf in enumerate(leaves_of(params)[0]):
        if not absent(leaf) and not _is_numeric(leaf):
            raise failure(
                f"params{paths_of(params)[i][0]} is {leaf!r:.60}, not an array of "
                f"numbers. Give the arrays only, as equinox.filter(model, "
                f"equinox.is_array) does: None stands for the rest; or mask the leaf.",
                TypeError,
            )


def _is_numeric(leaf: Any) -> bool:
    if isinstance(leaf, str | type):  # of which JAX would read off a dtype
        return False
    try:
        return not jnp.issubdtype(dtype_of(leaf), jax.dtypes.extended)  # keys
    except TypeError:
        return False


def is_abstract(x: Any) -> bool:
    """A shape without an array, for which a state of zeros is made."""
    return isinstance(x, jax.ShapeDtypeStruct)


def map_present(fn: Callable[[Any], Any], tree: Any) -> Any:
    """Map over the leaves that are there."""
    return jax.tree.map(lambda x: x if absent(x) else fn(x), tree)


def or_else(tree: Any, other: Any) -> Any:
    """The leaves of one tree, those of another where there is none."""
    return jax.tree.map(
        lambda x, y: y if x is None else x, tree, other, is_leaf=is_none
    )


def filled(tree: Any, like: Any, value: float) -> Any:
    """The leaves of a tree, a value where there is none but the other tree has one."""
    leaves, treedef = leaves_of(tree)
    others = leaves_like(treedef, like, "the state", tree)
    return treedef.unflatten(
        jnp.full_like(y, value) if absent(x) and y is not None else x
        for x, y in zip(leaves, others, strict=True)
    )


def compute_dtype(dtype: Any) -> Any:
    """The dtype to compute in: the given one, at least float32."""
    # Not by promote_types, which refuses under jax.numpy_dtype_promotion("strict").
    if not jnp.issubdtype(dtype, jnp.inexact) or jnp.finfo(dtype).bits < 32:
        return jnp.dtype(jnp.float32)
    return jnp.dtype(dtype)


def wider(*dtypes: Any) -> Any:
    """The dtype that holds all; of those that JAX widens to nothing, float32."""
    return functools.reduce(jnp.promote_types, map(_widened, dtypes))


@functools.cache
def _widened(dtype: Any) -> Any:
    narrow = (jnp.iinfo, 8) if jnp.issubdtype(dtype, jnp.integer) else (jnp.finfo, 16)
    if jnp.issubdtype(dtype, jnp.bool_) or narrow[0](dtype).bits >= narrow[1]:
        return jnp.dtype(dtype)
    return jnp.dtype(jnp.float32)  # float8, float4, int4, uint2
