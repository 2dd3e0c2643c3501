"""A function of a batch, called for one micro-batch after the other."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.axes import varied
from gradtx.core.trees import leaves_of
from gradtx.microbatching.accumulators import (
    MEANS,
    AccumulationType,
    Accumulator,
    kinds_of,
    made_for,
)
from gradtx.microbatching.batches import Places, batch_size, cut, size_of


def microbatch(
    fun: Callable[..., Any],
    argnums: int | Sequence[int],
    microbatch_size: int | None,
    accumulator: Any = AccumulationType.SUM,
    *,
    argnames: str | Sequence[str] = (),
    in_axes: int | Sequence[int] = 0,
    num_real_microbatches: int | jax.Array | None = None,
    weight: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """A function of a batch, computed by micro-batches in the memory of one.

        f(x) = sum_i f(x_i),   or the mean, or f(x_0), f(x_1), ... side by side

    in a loop over n micro-batches x_i of the batch, the examples i, i + n, i + 2 n, ...
    (see `reshape_batch_axis`). To train, wrap the gradient:
    `microbatch(jax.value_and_grad(loss), 1, 8, AccumulationType.MEAN)`, for a loss that
    is a mean over the batch. A gradient through the loop would store each round of it.

    With `weight` a mean is one by weights, sum_i w_i f(x_i) / sum_i w_i: the mean over
    all tokens, say, where micro-batches have different numbers of them, and not the
    mean of the means. One of weight 0, be it NaN, is left out; the mean of none is 0.

    Memory: one micro-batch's, and the accumulated results. Call it inside of `jit`:
    outside the loop is compiled in each call. An argument without a batch axis is the
    same in each round; so is a random key, unless there is one for each example.

    Args:
      fun: the function, of any arguments; its results are trees of arrays.
      argnums: places of the arguments, trees of arrays, that have a batch axis.
      microbatch_size: examples in a micro-batch, which must divide the batch. `None`
        calls `fun` with the whole batch.
      accumulator: what becomes of the results: one of `AccumulationType`, an
        `Accumulator`, or a tree of them that is a prefix of the results.
      argnames: names of keyword arguments that have a batch axis, too.
      in_axes: the batch axis, or one for each of argnums and then of argnames.
      num_real_microbatches: how many run, the first ones; an array may say it without
        a new program. What the others would give is 0 when concatenated; a mean is
        one of those that ran.
      weight: a function of the arguments of `fun` to the weight of a micro-batch, a
        number at least 0: how many tokens are in it. For MEAN and RUNNING_MEAN.

    Returns:
      A function of the same arguments, with results of the same dtypes.

    Raises:
      ValueError: micro-batches that do not divide the batch, batches of different sizes
        or empty ones, an accumulator that does not fit, a weight that is no scalar or
        meets no mean.
      TypeError: a mean of integers.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> from gradtx.microbatching import AccumulationType, microbatch
      >>> kinds = AccumulationType.CONCAT, AccumulationType.SUM
      >>> f = microbatch(lambda x: (x + 1, jnp.sum(3 * x)), 0, 2, kinds)
      >>> f(jnp.arange(4))
      (Array([1, 2, 3, 4], dtype=int32), Array(18, dtype=int32))

      By the number of tokens:

      >>> def mean(x, mask):
      ...     return (x * mask).sum() / mask.sum()
      >>> f = microbatch(
      ...     mean, (0, 1), 1, AccumulationType.MEAN, weight=lambda x, mask: mask.sum()
      ... )
      >>> f(jnp.array([[1.0, 3.0], [8.0, 9.0]]), jnp.array([[1, 1], [1, 0]]))
      Array(4., dtype=float32)
    """
    name = "microbatch"
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    names = (argnames,) if isinstance(argnames, str) else tuple(argnames)
    count = len(numbers) + len(names)
    axes = (in_axes,) * count if isinstance(in_axes, int) else tuple(in_axes)
    if not count:
        raise ValueError(f"{name}: argnums and argnames name no argument.")
    if len(axes) != count:
        raise ValueError(
            f"{name}: in_axes has {len(axes)} axes for {count} arguments: give one for "
            f"each of argnums, then of argnames."
        )
    if microbatch_size is not None:
        check.count(f"{name}: microbatch_size", microbatch_size, 1)
    if num_real_microbatches is not None:
        check.count(f"{name}: num_real_microbatches", num_real_microbatches, 1)
        if microbatch_size is None:
            raise ValueError(f"{name}: num_real_microbatches needs a microbatch_size.")

    @functools.wraps(fun)
    def microbatched(*args: Any, **kwargs: Any) -> Any:
        places = _places(numbers, names, axes, args, kwargs)
        batch = batch_size(name, [_named(p, a, args, kwargs) for p, a in places])
        size = size_of(name, batch, microbatch_size)
        most = batch // size
        ran = _ran(num_real_microbatches, most)
        take = cut(places, size, args, kwargs)

        def evaluate(i: Any) -> tuple[Any, Any]:
            part, named = take(i)
            return fun(*part, **named), _weight_of(weight, part, named)

        shapes, weighs = jax.eval_shape(evaluate, 0)
        kinds = kinds_of(name, accumulator, shapes)
        if weight is not None and not any(kind in MEANS for kind in kinds):
            raise ValueError(
                f"{name}: weight is for means, and accumulator has none: give "
                f"AccumulationType.MEAN or RUNNING_MEAN."
            )
        structs, treedef = leaves_of(shapes)
        each = [
            None
            if x is None
            else _for_leaf(kind, x, most, ran, weight, microbatch_size)
            for kind, x in zip(kinds, structs, strict=True)
        ]

        def body(i: Any, carries: list[Any]) -> list[Any]:
            values, own = evaluate(i)
            rows = zip(each, carries, leaves_of(values)[0], kinds, strict=True)
            return [
                c if acc is None else acc.update(c, _paired(kind, v, own), i)
                for acc, c, v, kind in rows
            ]

        start = [
            None if acc is None else _like(acc.init(x), x, weighs)
            for acc, x in zip(each, structs, strict=True)
        ]
        # A loop of one is no loop, which XLA would not fuse with what is around.
        once = most == 1 and num_real_microbatches is None
        end = body(0, start) if once else lax.fori_loop(0, ran, body, start)
        return treedef.unflatten(
            None if acc is None else acc.finalize(c)
            for acc, c in zip(each, end, strict=True)
        )

    return microbatched


def _places(
    numbers: tuple[int, ...],
    names: tuple[str, ...],
    axes: tuple[int, ...],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Places:
    """The arguments with a batch axis, as they are in a call."""
    for number in numbers:
        if not -len(args) <= number < len(args):
            raise ValueError(
                f"microbatch: there is no argument {number} of argnums among the "
                f"{len(args)} that were given by place. Name one that is given by "
                f"keyword in argnames."
            )
    for name in names:
        if name not in kwargs:
            raise ValueError(
                f"microbatch: {name!r} of argnames was not given by keyword."
            )
    given = [number % len(args) for number in numbers]
    return list(zip([*given, *names], axes, strict=True))


def _named(
    place: int | str, axis: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str, Any, int]:
    """An argument as errors call it, with its axis."""
    if isinstance(place, int):
        return f"args[{place}]", args[place], axis
    return place, kwargs[place], axis


def _ran(given: int | jax.Array | None, most: int) -> Any:
    """How many micro-batches run."""
    if given is None:
        return most
    if isinstance(given, int) and given > most:
        raise ValueError(
            f"microbatch: num_real_microbatches is {given}, of {most} that there are."
        )
    return given if isinstance(given, int) else jnp.clip(given, 0, most)


def _weight_of(weight: Callable[..., Any] | None, part: Any, named: Any) -> Any:
    if weight is None:
        return None
    value = weight(*part, **named)
    check.nonnegative("microbatch: weight(...)", value)
    return jnp.asarray(value)


def _for_leaf(
    kind: Any, x: Any, most: int, ran: Any, weight: Any, size: int | None
) -> Accumulator:
    made = made_for(kind, x, most, ran, weight is not None)
    if kind is AccumulationType.CONCAT and size is None:  # as the function gives it
        return Accumulator(lambda x: (), lambda c, v, i: v, lambda c: c, lambda v: v)
    return made


def _paired(kind: Any, value: Any, weight: Any) -> Any:
    return (value, weight) if weight is not None and kind in MEANS else value


def _like(carry: Any, *structs: Any) -> Any:
    """The carry, of the type that varies along every mesh axis that results do."""
    axes = frozenset[str]()
    for x in structs:
        kind = getattr(x, "manual_axis_type", None)
        found = getattr(x, "vma", None) if kind is None else kind.varying
        axes |= frozenset(found or ())
    return jax.tree.map(lambda x: varied(x, axes), carry) if axes else carry
