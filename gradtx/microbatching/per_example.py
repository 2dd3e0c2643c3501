"""Functions of one example, mapped over a batch by micro-batches."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from gradtx.core.trees import leaves_of
from gradtx.microbatching.accumulators import AccumulationType, aggregate, kinds_of
from gradtx.microbatching.microbatch import microbatch


def micro_vmap(
    fun: Callable[..., Any],
    in_axes: int | Sequence[int | None] = 0,
    out_axes: Any = 0,
    *,
    microbatch_size: int | None = None,
    vmap_fn: Callable[..., Any] = jax.vmap,
    accumulator: Any = AccumulationType.CONCAT,
    num_real_microbatches: int | jax.Array | None = None,
) -> Callable[..., Any]:
    """`jax.vmap`, a micro-batch at a time, of which sums and means may be taken.

        y_j = f(x_j),   or sum_j f(x_j), or the mean over the examples j

    In the memory of a micro-batch, and of all the results where they are concatenated.

    Args:
      fun: a function of one example.
      in_axes: the batch axis of each argument, `None` for one that is the same for all;
        one number for all arguments. Keyword arguments have it in front, as in
        `jax.vmap`.
      out_axes: 0, where the axis of the results is.
      microbatch_size, num_real_microbatches: see `microbatch`.
      vmap_fn: called as `vmap_fn(fun, in_axes, out_axes)`; a partial of `jax.vmap` with
        more options, say.
      accumulator: see `microbatch`; CONCAT gives a result for each example.

    Returns:
      A function of batches.

    Raises:
      ValueError: as `microbatch`; or out_axes is not 0, or in_axes has an axis too few.
      TypeError: a mean of integers.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> square = gradtx.microbatching.micro_vmap(lambda x: x**2, microbatch_size=2)
      >>> square(jnp.arange(6))
      Array([ 0,  1,  4,  9, 16, 25], dtype=int32)
    """
    name = "micro_vmap"
    if any(axis != 0 for axis in jax.tree.leaves(out_axes)):
        raise ValueError(f"{name}: out_axes must be 0, got {out_axes}.")

    @functools.wraps(fun)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        axes: tuple[int | None, ...]
        if in_axes is None or isinstance(in_axes, int):
            axes = (in_axes,) * len(args)
        else:
            axes = tuple(in_axes)
        if len(axes) != len(args):
            raise ValueError(
                f"{name}: in_axes has {len(axes)} axes, and {len(args)} arguments were "
                f"given by place."
            )

        def part(*args: Any, **kwargs: Any) -> Any:
            values = vmap_fn(fun, axes, 0)(*args, **kwargs)
            kinds = kinds_of(name, accumulator, values)
            leaves, treedef = leaves_of(values)
            pairs = zip(kinds, leaves, strict=True)
            return treedef.unflatten(
                x if x is None else aggregate(kind, x) for kind, x in pairs
            )

        places = {i: axis for i, axis in enumerate(axes) if axis is not None}
        return microbatch(
            part,
            tuple(places),
            microbatch_size,
            accumulator,
            argnames=tuple(kwargs),
            in_axes=(*places.values(), *(0 for _ in kwargs)),
            num_real_microbatches=num_real_microbatches,
        )(*args, **kwargs)

    return mapped


class Aux(NamedTuple):
    """What `micro_grad` gives beside the gradient: an entry for each example."""

    values: Any  # of the function
    metrics: Any  # what metrics_fn made of each gradient
    aux: Any  # what the function gave beside its value, with has_aux


def _as_it_is(gradient: Any) -> Any:
    return gradient


def _nothing(gradient: Any) -> None:
    return None


def micro_grad(
    fun: Callable[..., Any],
    has_aux: bool = False,
    argnums: int | Sequence[int] = 0,
    *,
    batch_argnums: int | Sequence[int] = 1,
    keep_batch_dim: bool = True,
    microbatch_size: int | None = None,
    accumulator: Any = AccumulationType.SUM,
    transform_fn: Callable[[Any], Any] = _as_it_is,
    metrics_fn: Callable[[Any], Any] = _nothing,
    num_real_microbatches: int | jax.Array | None = None,
) -> Callable[..., tuple[Any, Aux]]:
    """Gradients of each example, transformed and added up.

        u = sum_j t(g_j),   g_j = df(w, x_j) / dw,   or the mean, or all of them

    One clips each example's gradient so, takes second moments over the examples
    (`transform_fn=lambda g: (g, g**2)`), or measures each. In the memory of the
    gradients of a micro-batch: for a loss whose gradient alone is wanted, `microbatch`
    of `jax.grad` does with that of one.

    Args:
      fun: a loss, a scalar.
      has_aux: whether it gives a pair, `(loss, aux)`.
      argnums: by which argument to differentiate, or by which.
      batch_argnums: the arguments with a batch axis, which is in front.
      keep_batch_dim: whether `fun` takes a batch, here one of a single example; or else
        an example without a batch axis.
      microbatch_size, num_real_microbatches: see `microbatch`.
      accumulator: of the transformed gradients, see `microbatch`.
      transform_fn: of each gradient.
      metrics_fn: small measurements of each gradient, before it is transformed.

    Returns:
      A function of the arguments of `fun` that gives `(gradients, Aux)`; keyword
      arguments have a batch axis in front, of which each example gets its entry.

    Raises:
      ValueError: as `microbatch`.
      TypeError: a mean of integers.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> def loss(w, x, y):
      ...     return jnp.mean((x @ w - y) ** 2) / 2
      >>> x, y = jnp.ones((4, 1)), jnp.array([0.0, 2.0, 4.0, 6.0])
      >>> size = gradtx.tree.norm
      >>> f = gradtx.microbatching.micro_grad(
      ...     loss, batch_argnums=(1, 2), microbatch_size=2, metrics_fn=size
      ... )
      >>> gradient, aux = f(jnp.zeros(1), x, y)
      >>> gradient.tolist(), aux.values.tolist(), aux.metrics.tolist()
      ([-12.0], [0.0, 2.0, 8.0, 18.0], [0.0, 2.0, 4.0, 6.0])
    """
    batched = (batch_argnums,) if isinstance(batch_argnums, int) else batch_argnums
    value_and_grad = jax.value_and_grad(fun, argnums, has_aux=has_aux)

    @functools.wraps(fun)
    def gradients(*args: Any, **kwargs: Any) -> tuple[Any, Aux]:
        places = {number % len(args) for number in batched if args}

        def of_one(*args: Any, **kwargs: Any) -> tuple[Any, Aux]:
            if keep_batch_dim:
                args = tuple(
                    jax.tree.map(lambda a: a[None], x) if i in places else x
                    for i, x in enumerate(args)
                )
            value, gradient = value_and_grad(*args, **kwargs)
            value, aux = value if has_aux else (value, None)
            return transform_fn(gradient), Aux(value, metrics_fn(gradient), aux)

        return micro_vmap(
            of_one,
            tuple(0 if i in places else None for i in range(len(args))),
            microbatch_size=microbatch_size,
            accumulator=(accumulator, AccumulationType.CONCAT),
            num_real_microbatches=num_real_microbatches,
        )(*args, **kwargs)

    return gradients
