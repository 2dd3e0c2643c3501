"""CAME: Adafactor whose steps are long where its updates agree."""

from typing import Any, NamedTuple

from gradtx.core import check
from gradtx.core.axes import AxisName, check_alone, need_all
from gradtx.core.compose import chain
from gradtx.core.leafwise import leafwise, reduced, zeros
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import abs_sq, again, inverse_root
from gradtx.core.transformation import transformation
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.optimizers.adafactor import (
    factored_axes,
    held_back,
    outer,
    relative,
    row_and_column,
)
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate


class ScaleByCameState(NamedTuple):
    mu: Updates  # average of the scaled gradients, shaped like params
    # Where a leaf is not factored, or is, an array of shape (1,) stands for the others.
    v_row: Updates  # squared gradients: mean over the longest axis, real
    v_col: Updates  # mean over the second longest, real
    v: Updates  # of leaves that are not factored: real, shaped like params
    s_row: Updates  # squared deviations from mu, as v_row
    s_col: Updates  # as v_col


@transformation
def scale_by_came(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    b3: Scalar = 0.9999,
    eps: Scalar = 1e-30,
    eps_confidence: Scalar = 1e-16,
    clipping_threshold: Scalar | None = 1.0,
    mu_dtype: Any = None,
    *,
    min_dim_size_to_factor: int = 2,
    axis_name: AxisName = None,
):
    """Average Adafactor's updates, and divide by how far they are from the average.

        R_t = b2 R_{t-1} + (1 - b2) mean_j(|g_t|^2 + eps),   R_0 = 0
        C_t = b2 C_{t-1} + (1 - b2) mean_i(|g_t|^2 + eps),   C_0 = 0
        x_t = g_t / sqrt(V_t),   V_t = R_t C_t' / mean(R_t)
        c_t = x_t / max(1, rms(x_t) / clipping_threshold)
        mu_t = b1 mu_{t-1} + (1 - b1) c_t,   mu_0 = 0
        u_t = mu_t / sqrt(S_t)

    where S_t is made of |c_t - mu_t|^2 + eps_confidence, with b3, as V_t is made of
    |g_t|^2 + eps; j are the columns, i the rows. Nothing is corrected for the start
    from zero. A leaf that is not factored keeps its whole V_t, without a correction
    too, and has u_t = mu_t, as in the authors' code. See `scale_by_factored_rms` for
    more than two axes.

    State: one array per parameter, and for an m by n matrix 2 (m + n) numbers; two
    arrays per parameter where a leaf is not factored.

    Args:
      b1, b2, b3: decays of mu, of V and of S, in [0, 1).
      eps: added to the squared gradient, at least 0.
      eps_confidence: added to the squared deviation, at least 0: steps are at most
        1 / sqrt(eps_confidence) times mu.
      clipping_threshold: largest root mean square of a leaf's g_t / sqrt(V_t), above 0;
        `None` does not clip.
      mu_dtype: dtype of mu; by default the parameter's, at least float32.
      min_dim_size_to_factor: least length of both axes of a matrix that is factored.
      axis_name: see `scale_by_factored_rms`.

    Raises:
      ValueError: a number out of range, the name of an axis, or a leaf that differs
        between devices.

    Source: Luo et al., CAME: confidence-guided adaptive memory efficient optimization
    (2023), algorithm 2, with means for its sums.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_came()
      >>> updates, state = tx.update(jnp.ones((3, 2)), tx.init(jnp.ones((3, 2))))
      >>> state.s_row.shape, state.s_col.shape
      ((2,), (3,))
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.decay("b3", b3)
    check.nonnegative("eps", eps)
    check.nonnegative("eps_confidence", eps_confidence)
    if clipping_threshold is not None:
        check.positive("clipping_threshold", clipping_threshold)
    check.count("min_dim_size_to_factor", min_dim_size_to_factor)
    check_alone(axis_name)

    def inverse(axes, b, new, row, col):
        """1 / sqrt(factored), as two factors, and the new row and column."""
        row, col = (b * x + (1 - b) * y for x, y in zip((row, col), new, strict=True))
        over = inverse_root(relative(row, axes))
        return outer(over, inverse_root(col), axes), row, col

    def scaled(g, v):
        return g * inverse_root(v)

    def rule(g, mu, v_row, v_col, v, s_row, s_col):
        if g.ndim > 1 or clipping_threshold is not None:
            need_all(g, axis_name)
        axes = factored_axes(g.shape, min_dim_size_to_factor)
        if axes is None:
            v = b2 * v + (1 - b2) * (abs_sq(g) + eps)
            factor = held_back(clipping_threshold, scaled(*again((g, v))))
            mu = b1 * mu + (1 - b1) * factor * scaled(g, v)
            return mu, mu, v_row, v_col, v, s_row, s_col
        new = (x + eps for x in row_and_column(abs_sq, axes, g))
        (row, col), v_row, v_col = inverse(axes, b2, new, v_row, v_col)

        def c(g, row, col, factor=1.0):
            return factor * g * row * col

        known = g, row, col
        factor = held_back(clipping_threshold, c(*again(known)))
        mu = b1 * mu + (1 - b1) * c(*known, factor)
        new = row_and_column(
            lambda mu, *known: abs_sq(c(*known) - mu),
            axes,
            *again((mu, *known, factor)),
        )
        new = (x + eps_confidence for x in new)
        (over, under), s_row, s_col = inverse(axes, b3, new, s_row, s_col)
        return mu * over * under, mu, v_row, v_col, v, s_row, s_col

    def without(which):
        def axes(p):
            found = factored_axes(p.shape, min_dim_size_to_factor)
            return None if found is None else (found[which],)

        return reduced(axes)

    def whole(p):
        factored = factored_axes(p.shape, min_dim_size_to_factor) is not None
        return None if factored else ()

    return leafwise(
        ScaleByCameState,
        rule,
        whole_leaf=True,
        mu=zeros(mu_dtype),
        v_row=without(1),
        v_col=without(0),
        v=reduced(whole),
        s_row=without(1),
        s_col=without(0),
    )


@transformation
def came(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    b3: Scalar = 0.9999,
    eps: Scalar = 1e-30,
    eps_confidence: Scalar = 1e-16,
    clipping_threshold: Scalar | None = 1.0,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
    *,
    min_dim_size_to_factor: int = 2,
    axis_name: AxisName = None,
):
    """CAME: `scale_by_came`, then weight decay, then the learning rate.

    State: one array per parameter, and for an m by n matrix 2 (m + n) numbers.

    Args:
      learning_rate: a finite number or a schedule; that of Adam is a start.
      b1, b2, b3, eps, eps_confidence, clipping_threshold, mu_dtype,
        min_dim_size_to_factor, axis_name: see `scale_by_came`.
      weight_decay, mask: see `add_decayed_weights`; decoupled, as in `adamw`.

    Raises:
      ValueError: a number out of range, or a mask that does not fit.

    Source: Luo et al., CAME: confidence-guided adaptive memory efficient optimization
    (2023), algorithm 2.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.came(1e-3)
      >>> params = jnp.ones((3, 2))
      >>> params, state = tx.step(jnp.ones((3, 2)), tx.init(params), params)
    """
    return chain(
        scale_by_came(
            b1,
            b2,
            b3,
            eps,
            eps_confidence,
            clipping_threshold,
            mu_dtype,
            min_dim_size_to_factor=min_dim_size_to_factor,
            axis_name=axis_name,
        ),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
