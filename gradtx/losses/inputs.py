"""What all losses check of their inputs, and what the losses of classes share.

An array that does not fit is an error that names the function, the argument and both
shapes: nothing is broadcast by accident.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def real(function: str, name: str, values: ArrayLike, integers=False) -> jax.Array:
    """The values as an array; TypeError unless real, or integers where these may be."""
    array = jnp.asarray(values)
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array
    if integers and not jnp.issubdtype(array.dtype, jnp.complexfloating):
        return array
    raise TypeError(
        f"{function}: {name} must be {'real' if integers else 'floating point'}, got "
        f"{array.dtype}: convert it first."
    )


def same_shape(
    function: str, names: tuple[str, str], first: jax.Array, second: jax.Array
) -> None:
    """ValueError unless the shapes are equal or one of the two is a scalar."""
    if first.ndim and second.ndim and first.shape != second.shape:
        raise ValueError(
            f"{function}: {names[1]} has shape {second.shape}, {names[0]} has "
            f"{first.shape}: reshape one of them, they are not broadcast."
        )


def fits(array: jax.Array, shape: tuple[int, ...]) -> bool:
    """Whether the array broadcasts to the shape."""
    try:
        return np.broadcast_shapes(array.shape, shape) == shape
    except ValueError:
        return False


def must_fit(
    function: str, name: str, array: jax.Array, whole: str, shape: tuple[int, ...]
) -> None:
    """ValueError unless the array broadcasts to the shape of the whole."""
    if not fits(array, shape):
        raise ValueError(
            f"{function}: {name} has shape {array.shape}, {whole} has {shape}: "
            f"give a scalar, or an array that broadcasts to {shape}."
        )


def mask(
    function: str, where: ArrayLike, whole: str, shape: tuple[int, ...]
) -> jax.Array:
    """`where` broadcast to a shape; an error unless it is boolean and fits."""
    array = jnp.asarray(where)
    if array.dtype != jnp.bool_:
        raise TypeError(
            f"{function}: where must be boolean, got {array.dtype}: pass where != 0."
        )
    must_fit(function, "where", array, whole, shape)
    return jnp.broadcast_to(array, shape)


def class_mask(
    function: str,
    where: ArrayLike,
    whole: str,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
) -> jax.Array:
    """A mask of classes, or of whole examples, broadcast to a shape with class axes.

    A mask with as many axes as the loss is one of examples. Of the others none has
    fewer axes than the whole: (3,) for (3, 3) would mean one or the other by accident.
    """
    array = jnp.asarray(where)
    own = tuple(n for i, n in enumerate(shape) if i not in axes)
    if array.ndim == len(own) and fits(array, own):
        array = jnp.expand_dims(array, axes)
    elif array.ndim not in (0, len(shape)):
        raise ValueError(
            f"{function}: where has shape {array.shape}, {whole} has {shape}: give a "
            f"mask of classes with the axes of {whole}, or one of examples, of the "
            f"loss's shape {own}."
        )
    return mask(function, array, whole, shape)


def factor(
    function: str,
    name: str,
    value: ArrayLike,
    allowed: Callable[[str, ArrayLike], None],
    loss: jax.Array,
) -> jax.Array:
    """A number that a check allows; or one for each loss, which passes unchecked."""
    if np.ndim(value) == 0:
        allowed(name, value)
    array = jnp.asarray(value, loss.dtype)
    must_fit(function, name, array, "the loss", loss.shape)
    return array


def not_empty(function: str, name: str, array: jax.Array, what: str) -> None:
    """ValueError for an array of size 0, of which there is no mean."""
    if not array.size:
        raise ValueError(
            f"{function}: {name} has shape {array.shape}, without any {what}: there is "
            f"no mean of nothing; skip the empty batch."
        )


def compute_dtype(*arrays: jax.Array):
    """The promoted dtype of the arrays, and float32 at least."""
    return jnp.promote_types(jnp.result_type(*arrays), jnp.float32)


def elementwise(
    function: str,
    rule: Callable[[jax.Array, jax.Array], jax.Array],
    predictions: ArrayLike,
    targets: ArrayLike | None,
    where: ArrayLike | None,
    names: tuple[str, str] = ("predictions", "targets"),
) -> jax.Array:
    """Check the inputs, apply a rule for two arrays of one shape, mask, cast back."""
    p = real(function, names[0], predictions)
    t = real(function, names[1], 0 if targets is None else targets, integers=True)
    same_shape(function, names, p, t)
    shape, dtype = jnp.broadcast_shapes(p.shape, t.shape), jnp.result_type(p, t)
    p = jnp.broadcast_to(p, shape).astype(compute_dtype(p, t))
    t = jnp.broadcast_to(t, shape).astype(p.dtype)
    if where is None:
        return rule(p, t).astype(dtype)
    kept = mask(function, where, "the loss", shape)
    # Masked twice: the outer mask alone would send 0 * NaN back through the rule.
    loss = rule(jnp.where(kept, p, 0), jnp.where(kept, t, 0))
    return jnp.where(kept, loss, 0).astype(dtype)


def floats(function: str, name: str, values: ArrayLike) -> jax.Array:
    """Real values as an array; integers become floats."""
    array = real(function, name, values, integers=True)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def axes(
    function: str,
    logits: jax.Array,
    axis: int | tuple[int, ...] | None,
    name: str = "logits",
) -> tuple[int, ...]:
    """The axes as nonnegative numbers, in the order given."""
    if axis is None:
        return tuple(range(logits.ndim))
    given = axis if isinstance(axis, tuple) else (axis,)
    found = tuple(i + logits.ndim if i < 0 else i for i in given)
    if len(set(found)) < len(found) or not set(found) <= set(range(logits.ndim)):
        raise ValueError(
            f"{function}: axis {axis} does not fit {name} of shape {logits.shape}: "
            f"name axes that it has, each once."
        )
    return found


def pick(values: jax.Array, labels: jax.Array) -> jax.Array:
    """values[..., label]; a label out of range takes the nearest class."""
    index = jnp.clip(labels, 0, values.shape[-1] - 1)
    return jnp.take_along_axis(values, index[..., None], axis=-1)[..., 0]


def integer_labels(
    function: str,
    name: str,
    scores: jax.Array | jax.ShapeDtypeStruct,
    labels: ArrayLike,
) -> jax.Array:
    """Labels for scores with the classes last, in int32 at least, checked."""
    array = jnp.asarray(labels)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(
            f"{function}: labels must be integers, got {array.dtype}: convert them "
            f"with labels.astype(int), or one-hot labels with labels.argmax(-1)."
        )
    if array.shape != scores.shape[:-1]:
        raise ValueError(
            f"{function}: labels has shape {array.shape}, {name} without its class "
            f"axis has {scores.shape[:-1]}: give one label for each example."
        )
    if scores.shape[-1] == 0:
        raise ValueError(
            f"{function}: {name} has no class: its class axis must not be empty."
        )
    # An int8 label cannot be compared with 1000 classes.
    return array.astype(jnp.promote_types(array.dtype, jnp.int32))


def finish(loss: jax.Array, labels: jax.Array, classes: int, kept: jax.Array | None):
    """0 for a label whose class is masked, NaN for one that is no class."""
    wrong = (labels < 0) | (labels >= classes)
    if kept is not None:
        wrong &= jnp.any(kept, -1)
        loss = jnp.where(pick(kept, labels) | wrong, loss, 0)
    # A factor, since a where would leave the gradient finite and plausible.
    return loss * jnp.where(wrong, jnp.nan, 1).astype(loss.dtype)
