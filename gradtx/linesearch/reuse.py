"""Values and gradients that a line search has computed, used in the next step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core.trees import absent, dtype_of, leaves_of
from gradtx.tree import access


def value_and_grad_from_state(
    value_fn: Callable[..., Any],
    *,
    has_aux: bool = False,
) -> Callable[..., tuple[Any, Any]]:
    """As `jax.value_and_grad`, but read from the state where a line search left them.

    A line search ends by computing value and gradient where the parameters then are;
    the next step need not do so again, and each is computed once. At first there is
    nothing in the state (its value is infinite): then, and after a value that is not
    finite, they are computed. One of the two runs, under `vmap` both.

    Only right where the function does not change from step to step (the full batch)
    and where the line search is last in the chain.

    Args:
      value_fn: from parameters and further arguments to a real scalar.
      has_aux: whether it returns `(value, aux)`; `fn` then gives
        `((value, aux), grad)`. A line search keeps no aux: each step calls the function
        for it, without the gradient. Give the line search a function without.

    Returns:
      `fn(params, *args, state, **kwargs) -> (value, grad)`; the state is that of the
      optimizer. The gradient is in the dtypes of the parameters, the value in that of
      the state, at least float32.

    Raises:
      KeyError: when called, if the state has several of `value` and `grad` (a chain of
        two line searches).
      ValueError: when called, if the state has none, or the gradient there is None:
        give `store_grad=True`.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> def f(p):
      ...     return jnp.sum((p - 1.0) ** 2)
      >>> tx = gradtx.lbfgs()
      >>> value_and_grad = gradtx.value_and_grad_from_state(f)
      >>> p = jnp.zeros(3)
      >>> state = tx.init(p)
      >>> for _ in range(3):
      ...     value, grad = value_and_grad(p, state=state)
      ...     updates, state = tx.update(
      ...         grad, state, p, value=value, grad=grad, value_fn=f
      ...     )
      ...     p = gradtx.apply_updates(p, updates)
      >>> p
      Array([1., 1., 1.], dtype=float32)
    """

    def value_and_grad(params: Any, *args: Any, state: Any, **kwargs: Any) -> Any:
        value, grad = access.get(state, "value", None), access.get(state, "grad", None)
        if value is None:
            raise ValueError(
                "value_and_grad_from_state: the state has no value and gradient. They "
                "are in that of lbfgs, newton and of line searches."
            )
        if grad is None:
            raise ValueError(
                "value_and_grad_from_state: the state has no gradient. Give "
                "store_grad=True to scale_by_backtracking_linesearch."
            )
        leaves, treedef = leaves_of(params)

        def read(params: Any) -> Any:
            pairs = zip(leaves, leaves_of(grad)[0], strict=True)
            known = value
            if has_aux:
                known = value, value_fn(params, *args, **kwargs)[1]
            return known, treedef.unflatten(
                g if g is None else g.astype(dtype_of(p)) for p, g in pairs
            )

        def compute(params: Any) -> Any:
            new, g = jax.value_and_grad(value_fn, has_aux=has_aux, allow_int=True)(
                params, *args, **kwargs
            )
            found = [None if absent(x) else x for x in leaves_of(g)[0]]
            new, *aux = new if has_aux else (new,)
            new = jnp.asarray(new, value.dtype)
            return (new, *aux) if has_aux else new, treedef.unflatten(found)

        return lax.cond(jnp.isfinite(value), read, compute, params)

    return value_and_grad
