"""Adafactor: second moments of a matrix as one row and one column."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import check
from gradtx.core.axes import AxisName, check_alone, need_all
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, reduced
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import (
    abs_sq,
    again,
    as_float,
    inverse_root,
    root,
    value_at,
)
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.blocks import scale_by_param_block_rms
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.momentum import ema
from gradtx.transforms.scale import scale, scale_by_learning_rate
from gradtx.transforms.stateless import identity


class FactoredState(NamedTuple):
    count: jax.Array  # steps taken, int32
    # Where a leaf is not factored, or is, an array of shape (1,) stands for the others.
    v_row: Updates  # mean over the longest axis, real, without that axis
    v_col: Updates  # mean over the second longest, real, without that axis
    v: Updates  # of leaves that are not factored: real, shaped like params


def factored_axes(shape: tuple[int, ...], least: int) -> tuple[int, int] | None:
    """The second longest axis and the longest; None if one is shorter than `least`.

    Of axes of one length the last is the longest. Others are batches of matrices.
    """
    if len(shape) < 2 or 0 in shape:
        return None
    second, first = (int(i) for i in np.argsort(shape, kind="stable")[-2:])
    return None if shape[second] < least else (second, first)


def row_and_column(
    squares: Callable[..., jax.Array], axes: tuple[int, int], *arrays: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The means of squares(*arrays) over the longest axis and over the second."""
    second, first = axes
    row = jnp.mean(squares(*arrays), axis=first)
    return row, jnp.mean(squares(*again(arrays)), axis=second)


def relative(row: jax.Array, axes: tuple[int, int], least: Any = 0.0) -> jax.Array:
    """A row over its mean: times the column it is the second moment."""
    second, first = axes
    mean = jnp.mean(row, axis=second - (second > first), keepdims=True)
    mean = jnp.maximum(mean, least)
    none, out = mean == 0, jnp.isinf(mean)  # squares out of range: then no step is made
    return jnp.where(none, 0, jnp.where(out, 1, row / jnp.where(none | out, 1, mean)))


def outer(
    row: jax.Array, column: jax.Array, axes: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """Both with the axis back that each lacks, so that they multiply to a matrix."""
    second, first = axes
    return jnp.expand_dims(row, first), jnp.expand_dims(column, second)


def held_back(threshold: Scalar | None, u: jax.Array) -> Any:
    """What to multiply u by, so that its root mean square is at most the threshold.

    u is to be used for this only: made of what `again` gives, it is not stored.
    """
    if threshold is None:
        return jnp.ones([], u.real.dtype)
    rms = root(jnp.sum(abs_sq(u)) / max(u.size, 1))
    return 1 / jnp.maximum(rms / threshold, 1)


@transformation
def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: Scalar = 0.8,
    step_offset: int = 0,
    min_dim_size_to_factor: int = 128,
    epsilon: Scalar | None = 1e-30,
    decay_rate_fn: Callable[[Any, Any], Any] | None = None,
    *,
    clipping_threshold: Scalar | None = None,
    as_pytorch: bool = False,
    axis_name: AxisName = None,
):
    """Divide by the root of a second moment that is kept as a row and a column.

        b_t = 1 - t^-decay_rate
        R_t = b_t R_{t-1} + (1 - b_t) mean_j(|g_t|^2 + epsilon)
        C_t = b_t C_{t-1} + (1 - b_t) mean_i(|g_t|^2 + epsilon)
        V_t = R_t C_t' / mean(R_t)
        u_t = g_t / sqrt(V_t)

    with the mean over a row's columns j, and that over a column's rows i. V_t is the
    matrix of rank one that has the rows' and the columns' means of the second moment,
    and is the nearest to it by divergence. b_1 is 0, so the averages need no correction
    for their start.

    Leaves of less than two axes, or of short ones, keep the whole second moment. Of
    more than two axes the two longest are the matrix; over the others matrices are
    stacked, each with its own row and column.

    State: for an m by n matrix m + n numbers, and one int32 in all; one array per
    parameter where a leaf is not factored.

    Args:
      factored: whether to factor at all.
      decay_rate: how fast b_t comes near to 1, at least 0; the paper has 0.8. At 0 only
        the last gradient counts.
      step_offset: steps that do not count, when training goes on in a second phase
        with the state of the first. Until they are over t is 1.
      min_dim_size_to_factor: least length of both axes of a matrix that is factored.
      epsilon: added to the squared gradient, at least 0.
      decay_rate_fn: from the number of steps taken before, less `step_offset`, and
        decay_rate to b_t; in place of the first line, as for a largest b_t (Zhai et
        al., Scaling vision transformers, 2021).
      clipping_threshold: largest root mean square of u_t in each leaf, above 0, as by
        `clip_by_block_rms`, which stores u_t; `None` does not clip.
      as_pytorch: the numbers of torch.optim.Adafactor: every leaf of two or more axes
        is factored, along the last two, of any length, and epsilon is not added, but a
        least value: of mean(R_t), and its square of V_t. `None` for epsilon is then, as
        torch's default, the distance from 1 to the next number of the dtype that is
        computed in, at least float32.
      axis_name: `()` for leaves that differ between devices inside of `shard_map`, of
        which each device has whole matrices; leaves that are split take `jit` with
        sharded arrays.

    Raises:
      ValueError: a number out of range; no epsilon without `as_pytorch`; the name of an
        axis, or a leaf that differs between devices.

    Source: Shazeer & Stern, Adafactor: adaptive learning rates with sublinear memory
    cost (2018), algorithm 4, with means for its sums, and section 7.2 for b_t.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_factored_rms(min_dim_size_to_factor=2)
      >>> g = jnp.array([[1.0, 2.0], [2.0, 4.0]])  # of rank one
      >>> tx.update(g, tx.init(g))[0]
      Array([[1., 1.],
             [1., 1.]], dtype=float32)
    """
    check.nonnegative("decay_rate", decay_rate)
    check.count("step_offset", step_offset)
    if clipping_threshold is not None:
        check.positive("clipping_threshold", clipping_threshold)
    check.count("min_dim_size_to_factor", min_dim_size_to_factor)
    if epsilon is not None or not as_pytorch:
        check.nonnegative("epsilon", epsilon)
    check_alone(axis_name)

    def axes_of(x):
        if as_pytorch:
            whole = not factored or x.ndim < 2 or not x.size
            return None if whole else (x.ndim - 2, x.ndim - 1)
        return factored_axes(x.shape, min_dim_size_to_factor) if factored else None

    def scalars(count):
        t = jnp.maximum(count - step_offset, 1)
        given = decay_rate_fn
        if given is not None:
            keep = value_at("decay_rate_fn", lambda n: given(n, decay_rate), t - 1)
            return keep, 1 - keep
        # Both exact: near to 1 the difference would lose its digits.
        power = -decay_rate * jnp.log(as_float(t))
        return -jnp.expm1(power), jnp.exp(power)

    def rule(g, v_row, v_col, v, keep, fresh):
        if g.ndim > 1 or clipping_threshold is not None:
            need_all(g, axis_name)
        least = jnp.finfo(g.dtype).eps if epsilon is None else epsilon
        added = 0.0 if as_pytorch else least

        def scaled(g, v_row, v_col, v):
            if axes is None:
                bounded = jnp.maximum(v, least * least) if as_pytorch else v
                return g * inverse_root(bounded)
            if as_pytorch:
                row, column = outer(relative(v_row, axes, least), v_col, axes)
                return g * inverse_root(jnp.maximum(row * column, least * least))
            # Roots of row and column, not of each entry of the matrix.
            over = inverse_root(relative(v_row, axes))
            row, column = outer(over, inverse_root(v_col), axes)
            return g * row * column

        axes = axes_of(g)
        if axes is None:
            v = keep * v + fresh * (abs_sq(g) + added)
        else:
            row, column = row_and_column(abs_sq, axes, g)
            v_row = keep * v_row + fresh * (row + added)
            v_col = keep * v_col + fresh * (column + added)
        known = g, v_row, v_col, v
        factor = held_back(clipping_threshold, scaled(*again(known)))
        return factor * scaled(*known), v_row, v_col, v

    return leafwise(
        FactoredState,
        rule,
        scalars=scalars,
        whole_leaf=True,
        v_row=reduced(lambda p: _without(axes_of(p), 1)),
        v_col=reduced(lambda p: _without(axes_of(p), 0)),
        v=reduced(lambda p: () if axes_of(p) is None else None),
    )


def _without(axes: tuple[int, int] | None, which: int) -> tuple[int] | None:
    return None if axes is None else (axes[which],)


def _falling(learning_rate: ScalarOrSchedule, count: Any) -> jax.Array:
    """The least of the learning rate and 1 / sqrt(t)."""
    rate = learning_rate(count) if callable(learning_rate) else learning_rate
    return jnp.minimum(rate, 1 / jnp.sqrt(as_float(count) + 1))


@transformation
def adafactor(
    learning_rate: ScalarOrSchedule | None = None,
    min_dim_size_to_factor: int = 128,
    decay_rate: Scalar = 0.8,
    decay_offset: int = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: Scalar | None = 1.0,
    momentum: Scalar | None = None,
    dtype_momentum: Any = None,
    weight_decay_rate: ScalarOrSchedule | None = None,
    eps: Scalar | None = 1e-30,
    factored: bool = True,
    weight_decay_mask: MaskOrFn | None = None,
    *,
    min_scale: Scalar = 1e-3,
    decay_rate_fn: Callable[[Any, Any], Any] | None = None,
    as_pytorch: bool = False,
    axis_name: AxisName = None,
):
    """Adafactor: steps relative to the parameters, with little memory.

        u_t as in scale_by_factored_rms
        c_t = u_t / max(1, rms(u_t) / clipping_threshold)
        a_t = learning_rate max(rms(p_{t-1}), min_scale)
        p_t = p_{t-1} - a_t c_t - weight_decay_rate p_{t-1}

    Clipping holds a step back whose gradient is larger than the second moment knows
    yet. With momentum the steps a_t c_t are averaged. Decay is not multiplied by the
    learning rate.

    State: for an m by n matrix m + n numbers; one array per parameter where a leaf is
    not factored, and one more with momentum.

    Args:
      learning_rate: a finite number or a schedule, relative to the parameters; `None`
        is 1. The paper has min(1e-2, 1 / sqrt(t)), T5 1e-3.
      min_dim_size_to_factor, decay_rate, factored, decay_rate_fn, axis_name: see
        `scale_by_factored_rms`.
      decay_offset: its `step_offset`.
      multiply_by_parameter_scale: whether steps are relative to the parameters, see
        `scale_by_param_block_rms`.
      clipping_threshold: largest root mean square of u_t in each leaf, above 0; `None`
        does not clip.
      momentum: decay of an average of the steps, in [0, 1), or `None`.
      dtype_momentum: of that average; by default the parameter's, at least float32.
      weight_decay_rate: at least 0, or a schedule; `None` is 0.
      eps: the epsilon of `scale_by_factored_rms`.
      weight_decay_mask: which leaves decay, see `add_decayed_weights`.
      min_scale: least size of parameters that counts, at least 0.
      as_pytorch: the numbers of torch.optim.Adafactor(lr, beta2_decay, eps=(e1, e2), d,
        weight_decay=w), see `scale_by_factored_rms`; and the learning rate is at most
        1 / sqrt(t). They are `adafactor(lr, decay_rate=-beta2_decay, eps=e1,
        min_scale=e2, clipping_threshold=d, weight_decay_rate=lr * w,
        as_pytorch=True)`; its e1 is `None` by default.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Shazeer & Stern, Adafactor: adaptive learning rates with sublinear memory
    cost (2018), algorithms 4 and 5.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adafactor(0.1)
      >>> params = jnp.array([1.0, 7.0])  # of root mean square 5
      >>> params, state = tx.step(jnp.array([2.0, -0.1]), tx.init(params), params)
      >>> params
      Array([0.5, 7.5], dtype=float32)
    """
    check.count("decay_offset", decay_offset)
    if eps is not None or not as_pytorch:
        check.nonnegative("eps", eps)
    steps = [
        scale_by_factored_rms(
            factored,
            decay_rate,
            decay_offset,
            min_dim_size_to_factor,
            eps,
            decay_rate_fn,
            clipping_threshold=clipping_threshold,
            as_pytorch=as_pytorch,
            axis_name=axis_name,
        )
    ]
    if clipping_threshold is not None:
        steps.append(identity())  # where Optax clips: states have the same structure
    if as_pytorch:
        most = 1.0 if learning_rate is None else learning_rate
        check.learning_rate("learning_rate", most)
        learning_rate = functools.partial(_falling, most)
    if learning_rate is not None:
        steps.append(scale_by_learning_rate(learning_rate, flip_sign=False))
    if multiply_by_parameter_scale:
        steps.append(scale_by_param_block_rms(min_scale, axis_name=axis_name))
    if momentum is not None:
        check.decay("momentum", momentum)
        steps.append(ema(momentum, debias=False, accumulator_dtype=dtype_momentum))
    if weight_decay_rate is not None:
        if not callable(weight_decay_rate):
            check.nonnegative("weight_decay_rate", weight_decay_rate)
        steps.append(add_decayed_weights(weight_decay_rate, weight_decay_mask))
    return chain(*steps, scale(-1.0))
