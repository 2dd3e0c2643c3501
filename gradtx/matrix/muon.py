"""Muon: momentum, made orthogonal matrix by matrix."""

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisName, check_alone, need_all, need_whole
from gradtx.core.compose import chain, partition
from gradtx.core.leafwise import leafwise, zeros
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import one_minus_power, safe_increment
from gradtx.core.per_leaf import PerLeaf
from gradtx.core.plan import check_state
from gradtx.core.transformation import transformation
from gradtx.core.trees import as_array, leaves_of, paths_of
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.core.widths import widened
from gradtx.matrix.axes import (
    DimensionNumbersOrFn,
    Matrices,
    ScaleRule,
    check_rule,
    matrices_of,
    numbers_of,
)
from gradtx.matrix.iteration import (
    JORDAN,
    PRECONDITIONINGS,
    iterate,
    rows,
    table,
    unit,
)
from gradtx.optimizers.adamw import adamw
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate

Preconditioning = Literal["frobenius", "spectral", "aol", "schatten"]


class MuonState(NamedTuple):
    count: jax.Array  # steps taken, int32
    mu: Updates  # average of the gradients, shaped like params, float32 unless mu_dtype
    ns_coeffs: jax.Array  # of the polynomial: (3,), or (steps, 3), floating


class _Momentum(NamedTuple):
    count: jax.Array
    mu: Updates


@transformation
def scale_by_muon(
    ns_coeffs: str | Sequence[Any] = JORDAN,
    ns_steps: int = 5,
    beta: Scalar = 0.95,
    eps: Scalar = 1e-8,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: Preconditioning = "frobenius",
    weight_dimension_numbers: DimensionNumbersOrFn | None = None,
    bias_correction: bool = True,
    scale_rule: ScaleRule | None = None,
    dtype: Any = None,
    axis_name: AxisName = None,
):
    """Make the momentum of every matrix orthogonal: `matrix.orthogonalize`.

        m_t = beta m_{t-1} + (1 - beta) g_t
        n_t = beta m_t / (1 - beta^{t+1}) + (1 - beta) g_t / (1 - beta^t)    (Nesterov)
        n_t = m_t / (1 - beta^t)                                             (without)
        u_t = orthogonalize(n_t)

    All directions of a matrix move by about the same, be their gradients large or
    small: it is the steepest descent where a step is measured by its largest singular
    value. The scale of the gradients has no effect.

    State: one array per parameter, three numbers (or three a step) and one int32.

    Args:
      ns_coeffs: of the polynomial, see coefficients of `matrix.orthogonalize`.
      ns_steps: of the polynomial, at least 1; as many as a table has.
      beta: decay of the average, in [0, 1).
      eps: at least 0; added to the Frobenius norm, where the largest magnitude is 1.
      mu_dtype: dtype of the average; by default the parameter's, at least float32.
      nesterov: whether to look ahead.
      adaptive: whether to multiply the update of each matrix by <n_t, u_t>, about the
        sum of the singular values: then the scale of the gradients counts.
      preconditioning: how matrices are scaled before the iteration: by the "frobenius"
        or the "spectral" norm (dear), the root of the "schatten" norm of n n', or "aol"
        row by row, which turns the vectors a little.
      weight_dimension_numbers: which axes make up a matrix, `MuonDimensionNumbers`:
        one for all leaves, a tree of them like the parameters (or a prefix of it), or a
        function from the parameters to one. By default every leaf has two axes. Axes
        that are not named are a stack, whose matrices go each by itself.
      bias_correction: whether to correct the average for its start from 0. PyTorch does
        not, which differs only with Nesterov.
      scale_rule: factor of the orthogonal update of a matrix with these inputs and
        outputs: "jordan" sqrt(max(1, outputs / inputs)), "spectral" sqrt(outputs /
        inputs), a number above 0 that times sqrt(max(outputs, inputs)), so that the
        root of the mean square is the same for all shapes; "rms" is 0.2, which is about
        AdamW's. By default 1.
      dtype: dtype of the polynomial's products, bfloat16 say; by default the
        parameter's, at least float32.
      axis_name: `()` for matrices that differ between devices inside of `shard_map`, of
        which each device has its own, whole; those that are split take `jit` with
        sharded arrays.

    Raises:
      ValueError: a number out of range, coefficients that do not fit ns_steps, a leaf
        that is no matrix, axes that are not there, the name of a mesh axis, or a
        matrix that differs between devices.

    Source: Jordan et al., Muon: an optimizer for hidden layers in neural networks
    (2024), without bias correction; Bernstein & Newhouse, Old optimizer, new norm
    (2024), for adaptive; Boissin et al., Turbo-Muon (2025), for "aol".

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_muon("ten_steps", 10)
      >>> g = jnp.array([[1e-8, 0.0], [0.0, -3e-8]])
      >>> tx.update(g, tx.init(g))[0].round(2) + 0.0
      Array([[ 1.,  0.],
             [ 0., -1.]], dtype=float32)
    """
    found = table("ns_coeffs", ns_coeffs, ns_steps, "ns_steps")
    check.count("ns_steps", ns_steps, 1)
    check.decay("beta", beta)
    check.nonnegative("eps", eps)
    check.choice("preconditioning", preconditioning, PRECONDITIONINGS)
    check_rule("scale_rule", scale_rule)
    check_alone(axis_name)
    if dtype is not None:
        zeros(dtype)  # says what is wrong with it
        dtype = jnp.dtype(dtype)

    def rule(g, mu, for_mu, for_g):
        mu = beta * mu + (1 - beta) * g
        if not nesterov:
            return for_mu * mu, mu
        return for_mu * beta * mu + for_g * (1 - beta) * g, mu

    def scalars(count):
        if not bias_correction:
            return 1.0, 1.0
        ahead = safe_increment(count) if nesterov else count
        return 1 / one_minus_power(beta, ahead), 1 / one_minus_power(beta, count)

    average, momentum = leafwise(
        _Momentum, rule, scalars=scalars, whole_leaf=True, mu=zeros(mu_dtype)
    )

    def matrices(tree):
        return matrices_of("weight_dimension_numbers", weight_dimension_numbers, tree)

    def init(params):
        matrices(params)  # what is wrong with a leaf is said at once
        started = average(params)
        return MuonState(started.count, started.mu, jnp.array(found, float))

    def update(updates, state, params=None, **extra):
        check_state(state, MuonState)
        need_whole()
        updates, new = momentum(
            widened(updates), _Momentum(state.count, state.mu), params
        )
        leaves, treedef = leaves_of(updates)
        groups: dict[Matrices, list[int]] = {}
        for i, here in enumerate(matrices(updates)):
            if here is not None and 0 not in here.shape:
                need_all(leaves[i], axis_name, paths_of(updates)[i][0])
                groups.setdefault(here, []).append(i)
        for here, places in groups.items():
            run = _each(here, ns_steps, dtype, preconditioning, adaptive)
            numbers = eps, here.factor(scale_rule)
            shared = state.ns_coeffs, *(jnp.asarray(x, float) for x in numbers)
            ready = run([(as_array(leaves[i]),) for i in places], shared)
            for i, u in zip(places, ready, strict=True):
                leaves[i] = u
        return treedef.unflatten(leaves), MuonState(new.count, new.mu, state.ns_coeffs)

    return init, update


@functools.cache
def _each(
    here: Matrices,
    steps: int,
    dtype: Any,
    preconditioning: str,
    adaptive: bool,
) -> PerLeaf:
    """From the momentum of a leaf to its update, compiled once for each shape."""

    def run(leaf: Any, shared: Any) -> jax.Array:
        coefficients, eps, factor = shared
        x, largest = unit(here.of(leaf[0]))
        y = iterate(x, rows(coefficients, steps), dtype, eps, preconditioning)
        scale = factor.astype(largest.dtype)
        if adaptive:
            inner = jnp.sum((x.conj() * y).real, axis=(-2, -1), keepdims=True)
            scale = scale * largest * inner
        return here.back(scale * y)

    return PerLeaf(run)


@transformation
def muon(
    learning_rate: ScalarOrSchedule,
    ns_coeffs: str | Sequence[Any] = JORDAN,
    ns_steps: int = 5,
    beta: Scalar = 0.95,
    eps: Scalar = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: MaskOrFn | None = None,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: Preconditioning = "frobenius",
    adam_b1: Scalar = 0.9,
    adam_b2: Scalar = 0.999,
    adam_eps_root: Scalar = 0.0,
    adam_weight_decay: ScalarOrSchedule = 0.0,
    adam_learning_rate: ScalarOrSchedule | None = None,
    muon_weight_dimension_numbers: DimensionNumbersOrFn | None = None,
    consistent_rms: Scalar | None = None,
    bias_correction: bool = True,
    scale_rule: ScaleRule = "jordan",
    dtype: Any = None,
    axis_name: AxisName = None,
):
    """Muon for matrices, AdamW for all else.

        p_t = p_{t-1} - learning_rate (k u_t + weight_decay p_{t-1})

    with u_t of `scale_by_muon` and k its scale_rule. By default leaves of two axes are
    the matrices. That takes an embedding and a head for matrices, which do better with
    AdamW, and leaves a stack of layers of three axes to AdamW: say what is what in
    `muon_weight_dimension_numbers`, with `None` for AdamW.

    State: one array per parameter of the matrices and two of the others; three numbers
    (or three a step) and two int32.

    Args:
      learning_rate: a finite number or a schedule; 0.02 is common with scale_rule
        "jordan", AdamW's with "rms".
      ns_coeffs, ns_steps, beta, mu_dtype, nesterov, adaptive, preconditioning,
        bias_correction, dtype, axis_name: see `scale_by_muon`; mu_dtype and nesterov
        are AdamW's too.
      eps: see `scale_by_muon`, and `scale_by_adam` for the other leaves.
      weight_decay, weight_decay_mask: of the matrices, see `add_decayed_weights`.
      adam_b1, adam_b2, adam_eps_root, adam_weight_decay: see `adamw`.
      adam_learning_rate: of the other leaves; by default learning_rate, which is large
        for them.
      muon_weight_dimension_numbers: which leaves are matrices and by which axes:
        `MuonDimensionNumbers`, or `None` for AdamW; a tree of them like the parameters
        (or a prefix of it), a function from the parameters to one, or one for all.
      consistent_rms: Optax's name for a scale_rule that is a number.
      scale_rule: see `scale_by_muon`.

    Raises:
      ValueError: a number out of range, coefficients that do not fit ns_steps, a mask
        or dimension numbers that do not fit, consistent_rms beside another scale_rule.

    Source: Jordan et al., Muon: an optimizer for hidden layers in neural networks
    (2024); Liu et al., Muon is scalable for LLM training (2025), for weight decay and
    "rms", eq. 4.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> params = {"embed": jnp.ones((9, 4)), "layers": jnp.ones((3, 4, 4))}
      >>> numbers = {"embed": None, "layers": gradtx.MuonDimensionNumbers(1, 2)}
      >>> tx = gradtx.muon(0.02, muon_weight_dimension_numbers=numbers)
      >>> state = tx.init(params).inner_states["muon"].inner_state
      >>> state[0].mu["layers"].shape
      (3, 4, 4)
    """
    check.decay("adam_b1", adam_b1)
    check.decay("adam_b2", adam_b2)
    check.nonnegative("adam_eps_root", adam_eps_root)
    if not callable(adam_weight_decay):
        check.nonnegative("adam_weight_decay", adam_weight_decay)
    if adam_learning_rate is not None:
        check.learning_rate("adam_learning_rate", adam_learning_rate)
    if consistent_rms is not None:
        check.positive("consistent_rms", consistent_rms)
        if scale_rule != "jordan":
            raise ValueError(
                f"consistent_rms={consistent_rms} stands for scale_rule, got "
                f"scale_rule={scale_rule!r} beside it: give one of them."
            )

    def labels(params):
        name = "muon_weight_dimension_numbers"
        each = numbers_of(name, muon_weight_dimension_numbers, params)
        chosen = ["adam" if numbers is None else "muon" for numbers in each]
        return leaves_of(params)[1].unflatten(chosen)

    return partition(
        {
            "muon": chain(
                scale_by_muon(
                    ns_coeffs,
                    ns_steps,
                    beta,
                    eps,
                    mu_dtype,
                    nesterov=nesterov,
                    adaptive=adaptive,
                    preconditioning=preconditioning,
                    weight_dimension_numbers=muon_weight_dimension_numbers,
                    bias_correction=bias_correction,
                    scale_rule=scale_rule if consistent_rms is None else consistent_rms,
                    dtype=dtype,
                    axis_name=axis_name,
                ),
                add_decayed_weights(weight_decay, weight_decay_mask),
                scale_by_learning_rate(learning_rate),
            ),
            "adam": adamw(
                adam_learning_rate if adam_learning_rate is not None else learning_rate,
                adam_b1,
                adam_b2,
                eps,
                adam_eps_root,
                mu_dtype,
                adam_weight_decay,
                nesterov=nesterov,
            ),
        },
        labels,
    )
