"""Adam-mini: Adam with one second moment for a block of parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import (
    AxisName,
    across,
    axes_of,
    names_of,
    need_whole,
    size_of,
)
from gradtx.core.compose import chain
from gradtx.core.leafwise import filled, made_from, reduced, zeros
from gradtx.core.masking import MaskOrFn, spread_list
from gradtx.core.numerics import abs_sq, divide, one_minus_power, root, safe_increment
from gradtx.core.plan import Inputs, check_shapes, check_state, planned
from gradtx.core.stacks import layers_of, stack_axes
from gradtx.core.transformation import transformation
from gradtx.core.trees import absent, failure, is_function, leaves_of, paths_of
from gradtx.core.types import Scalar, ScalarOrSchedule, Updates
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate

# "output", "leaf", "entry", or the axes along which each index has a block of its own;
# a tree of these like the parameters (or a prefix), or a function from them to one.
BlocksOrFn = Any | Callable[[Any], Any]


class ScaleByAdamMiniState(NamedTuple):
    count: jax.Array  # steps taken, int32
    mu: Updates  # first moment, shaped like params, float32 at least
    nu: Updates  # second moment of each block, real; other axes have length 1


@transformation
def scale_by_adam_mini(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    mu_dtype: Any = None,
    *,
    blocks: BlocksOrFn = "output",
    nu_dtype: Any = None,
    axis_name: AxisName = None,
):
    """Divide the average gradient by one root of the second moment for each block.

        mu_t = b1 mu_{t-1} + (1 - b1) g_t,   mu_0 = 0
        nu_t = b2 nu_{t-1} + (1 - b2) mean(|g_t|^2),   nu_0 = 0   (mean of a block)
        mu^_t = mu_t / (1 - b1^t),   nu^_t = nu_t / (1 - b2^t)
        u_t = mu^_t / (sqrt(nu^_t) + eps)

    Blocks are to be the blocks of the Hessian that are dense. By default they are the
    outputs: of a leaf of two or more axes each index along the last, so for a kernel of
    shape (inputs, outputs) each column; a leaf of one axis or none is one block. It is
    the paper's partition of all matrices but three: embeddings have a block for each
    token, `(0,)` for a table of shape (tokens, width); so has the last layer, where
    tokens are the outputs; queries and keys one for each head, `(1,)` for a kernel of
    shape (inputs, heads, size). For these give `blocks`:

        def blocks(params):
            def choose(path, p):
                return (0,) if "embedding" in jax.tree_util.keystr(path) else "output"

            return jax.tree_util.tree_map_with_path(choose, params)

    State: one array per parameter, one number per block and one int32.

    Args:
      b1, b2: decays of the moments, in [0, 1).
      eps: added outside of the root, at least 0 (units: gradient).
      mu_dtype, nu_dtype: dtypes of the moments, see `scale_by_adam`.
      blocks: "output"; "leaf", one for each leaf; "entry", which is Adam; or a tuple of
        axes, along which each index is a block. A tree of these like the parameters (or
        a prefix of it), or a function from the parameters to one.
      axis_name: mesh axes over which the blocks themselves are split evenly, inside of
        `pmap` or `shard_map`: inputs of a kernel, not outputs. A leaf of which each
        device has whole blocks needs `()`; with both kinds, `partition` gives each its
        own.

    Raises:
      ValueError: a number out of range, blocks that do not fit or are none of these,
        the leaf is named; an axis that is not there, or a leaf that differs along one
        that is not named.

    Source: Zhang et al., Adam-mini: use fewer learning rates to gain more (2024),
    algorithms 1 to 3, without the decay.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_adam_mini()
      >>> g = jnp.array([[1.0, 5.0], [7.0, 5.0]])  # root mean square 5 in each column
      >>> updates, state = tx.update(g, tx.init(g))
      >>> state.nu.shape, updates
      ((1, 2), Array([[0.2, 1. ],
             [1.4, 1. ]], dtype=float32))
    """
    check.decay("b1", b1)
    check.decay("b2", b2)
    check.nonnegative("eps", eps)
    names_of(axis_name)

    def rule(g, mu, nu, mu_factor, nu_factor):
        mu = b1 * mu + (1 - b1) * g
        over = tuple(i for i, n in enumerate(nu.shape) if n == 1)
        axes = axes_of(g, axis_name)
        entries = max(g.size // max(nu.size, 1), 1) * size_of(axes)
        total = across(jnp.sum(abs_sq(g), axis=over, keepdims=True), axes)
        nu = b2 * nu + (1 - b2) / entries * total
        scale = divide(mu_factor, root(nu_factor * nu) + eps, eps)
        return scale * mu, mu, nu

    def init(params):
        treedef = leaves_of(params)[1]
        given = blocks(layers_of(params)) if is_function(blocks) else blocks
        each = spread_list("blocks", given, params, _is_choice)
        nu = [
            p if absent(p) else made_from(_slot(choice, path, nu_dtype), p, axis)
            for (path, p), choice, axis in zip(
                paths_of(params), each, stack_axes(params), strict=True
            )
        ]
        mu = filled(zeros(mu_dtype), params)
        return ScaleByAdamMiniState(jnp.zeros([], jnp.int32), mu, treedef.unflatten(nu))

    def prepare(updates, state, params):
        check_state(state, ScaleByAdamMiniState)
        need_whole()
        check_shapes(updates, state.mu)
        count = safe_increment(state.count)
        factors = 1 / one_minus_power(b1, count), 1 / one_minus_power(b2, count)
        return Inputs(
            [state.mu, state.nu], factors
        ), lambda mu, nu: ScaleByAdamMiniState(count, mu, nu)

    return planned(init, rule, prepare, slots=("mu", "nu"))


def _is_choice(x: Any) -> bool:
    axes = isinstance(x, tuple) and all(isinstance(i, int) for i in x)
    return x is None or isinstance(x, str) or axes


def _slot(choice: Any, path: str, dtype: Any) -> Any:
    """The slot of a leaf's second moment."""

    def over(p: Any) -> tuple[int, ...]:
        kept = choice
        if choice == "output":
            kept = (-1,) if p.ndim > 1 else ()
        elif choice in ("leaf", "entry"):
            kept = () if choice == "leaf" else tuple(range(p.ndim))
        fits = isinstance(kept, tuple) and all(
            isinstance(i, int) and -p.ndim <= i < p.ndim for i in kept
        )
        if not fits:
            raise failure(
                f"blocks{path} must be 'output', 'leaf', 'entry' or a tuple of axes of "
                f"the leaf, which has shape {p.shape}; got {choice!r}."
            )
        keep = {i % p.ndim for i in kept}
        return tuple(i for i in range(p.ndim) if i not in keep)

    return reduced(over, dtype, keepdims=True)


@transformation
def adam_mini(
    learning_rate: ScalarOrSchedule,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    mu_dtype: Any = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn | None = None,
    *,
    blocks: BlocksOrFn = "output",
    nu_dtype: Any = None,
    axis_name: AxisName = None,
):
    """Adam-mini: `scale_by_adam_mini`, then weight decay, then the learning rate.

    Half of the memory of Adam, at the same learning rate.

    State: one array per parameter, one number per block and one int32.

    Args:
      learning_rate: a finite number or a schedule.
      b1, b2, eps, mu_dtype, blocks, nu_dtype, axis_name: see
        `scale_by_adam_mini`.
      weight_decay, mask: see `add_decayed_weights`; decoupled, as in `adamw`.

    Raises:
      ValueError: a number out of range, or a mask or blocks that do not fit.

    Source: Zhang et al., Adam-mini: use fewer learning rates to gain more (2024),
    algorithms 1 to 3.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adam_mini(0.1, blocks={"table": (0,), "kernel": "output"})
      >>> params = {"table": jnp.ones((5, 2)), "kernel": jnp.ones((2, 3))}
      >>> state = tx.init(params)
      >>> state[0].nu["table"].shape, state[0].nu["kernel"].shape
      ((5, 1), (1, 3))
    """
    return chain(
        scale_by_adam_mini(
            b1,
            b2,
            eps,
            mu_dtype,
            blocks=blocks,
            nu_dtype=nu_dtype,
            axis_name=axis_name,
        ),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )
