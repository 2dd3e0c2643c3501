"""How long the steps are that optimizers take for a gradient."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.apply import apply_updates
from gradtx.core.transformation import inner_of
from gradtx.plot import canvas
from gradtx.tree.norms import norm

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def step_sizes(
    optimizers: Mapping[str, Any], gradients: Any, *, params: Any = None
) -> dict[str, np.ndarray]:
    """Effective step sizes: the length of each update by that of its gradient.

        e_t = |u_t| / |g_t|

    The norms are over the whole tree. Plain gradient descent has e_t = learning_rate.

    Args:
      optimizers: from name to transformation, of gradtx or Optax.
      gradients: what each is fed, a tree of arrays with the steps on the first axis.
      params: where to begin; zeros by default. The updates are applied.

    Returns:
      From name to an array of one value a step; where the gradient is zero it is NaN
      (no update) or infinite.

    Raises:
      ValueError: gradients without steps, or with different numbers of them.
      TypeError: what is no transformation.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> optimizers = {"adagrad": gradtx.adagrad(1.0, initial_accumulator_value=0.0)}
      >>> found = gradtx.plot.step_sizes(optimizers, jnp.ones(4))
      >>> found["adagrad"].round(3)
      array([1.   , 0.707, 0.577, 0.5  ], dtype=float32)
    """
    gradients = jax.tree.map(jnp.asarray, gradients)
    lengths = {jnp.shape(g)[:1] for g in jax.tree.leaves(gradients)}
    if len(lengths) != 1 or lengths <= {(), (0,)}:
        raise ValueError(
            f"step_sizes: gradients must be arrays with the same number of steps on "
            f"the first axis, got shapes {jax.tree.map(jnp.shape, gradients)}."
        )
    if params is None:
        params = jax.tree.map(lambda g: jnp.zeros_like(g[0]), gradients)
    return {
        name: np.asarray(
            _ratios(inner_of(f"optimizer {name!r}", tx), gradients, params)
        )
        for name, tx in optimizers.items()
    }


@partial(jax.jit, static_argnames="tx")
def _ratios(tx: Any, gradients: Any, params: Any) -> jax.Array:
    def step(carry, grads):
        params, state = carry
        updates, state = tx.update(grads, state, params)
        return (apply_updates(params, updates), state), norm(updates) / norm(grads)

    return jax.lax.scan(step, (params, tx.init(params)), gradients)[1]


def plot_step_sizes(
    optimizers: Mapping[str, Any],
    gradients: Any,
    *,
    params: Any = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the effective step sizes of optimizers that are fed the same gradients.

    Steps without a size, or with the size 0, are marked by crosses on the lower edge
    and counted in the legend.

    Args:
      optimizers, gradients, params: see `step_sizes`.
      ax: the axis to draw on; by default one in a new figure, `ax.figure`.

    Returns:
      The axis, logarithmic. As the last line of a cell, a new one shows its picture
      in a notebook.

    Raises:
      ValueError, TypeError: see `step_sizes`.
      ModuleNotFoundError: matplotlib is missing: `pip install "gradtx[plot]"`.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> dying = 0.9 ** jnp.arange(100.0)
      >>> optimizers = {"adagrad": gradtx.adagrad(0.1), "rmsprop": gradtx.rmsprop(0.1)}
      >>> ax = gradtx.plot.plot_step_sizes(optimizers, dying)
      >>> ax.get_yscale(), len(ax.lines)
      ('log', 2)
    """
    sizes = step_sizes(optimizers, gradients, params=params)
    ax = canvas.axis(ax)
    ax.set_yscale("log")
    for (name, size), style in zip(sizes.items(), canvas.styles(), strict=False):
        canvas.curve(ax, np.arange(len(size)), size.astype(float), name, style)
    canvas.legend(ax)
    return canvas.finish(ax, xlabel="step", ylabel="|update| / |gradient|")
