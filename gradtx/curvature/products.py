"""Products with the Hessian and with the Gauss-Newton matrix, and diagonals."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from gradtx.core import check
from gradtx.core.once import compiled_once
from gradtx.core.trees import at_work, check_match, failure
from gradtx.core.types import Params

LossFn = Callable[..., Any]  # loss(params, inputs, targets) -> a scalar


class _NotGiven:
    def __repr__(self) -> str:
        return "<not given>"


NOT_GIVEN: Any = _NotGiven()


def of_batch(fn: Callable[..., Any], *batch: Any) -> Callable[[Any], Any]:
    """The function of the parameters, at inputs and targets as far as given."""
    given = [x for x in batch if x is not NOT_GIVEN]
    return lambda params: fn(params, *given)


@at_work("hvp")
def hvp(
    loss: LossFn,
    v: Any,
    params: Params,
    inputs: Any = NOT_GIVEN,
    targets: Any = NOT_GIVEN,
) -> Params:
    """The product of the Hessian of a loss with a vector.

        H v,   H the second derivatives of loss by params

    As the derivative of the gradient along v: it takes the time of some gradients, and
    H is never stored.

    Args:
      loss: `loss(params, inputs, targets)`, a scalar; without targets, or inputs and
        targets, `loss(params, inputs)`, `loss(params)`.
      v: a tree like params; or all of its numbers in one vector, in the order of
        `jax.flatten_util.ravel_pytree`.
      params: where H is taken; real floating arrays.
      inputs, targets: handed on to loss.

    Returns:
      H v, a tree like params, in their dtypes.

    Raises:
      ValueError: v does not fit params.

    Source: Pearlmutter, Fast exact multiplication by the Hessian (1994), section 3.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> params = {"w": jnp.array([1.0, 2.0])}
      >>> v = {"w": jnp.array([1.0, 0.0])}
      >>> gradtx.curvature.hvp(lambda p: jnp.prod(p["w"]) ** 2, v, params)["w"]
      Array([8., 8.], dtype=float32)
    """
    along = _like(v, params)
    return jax.jvp(jax.grad(of_batch(loss, inputs, targets)), (params,), (along,))[1]


@at_work("gnvp")
def gnvp(
    model: Callable[..., Any],
    loss: Callable[..., Any],
    v: Any,
    params: Params,
    inputs: Any = NOT_GIVEN,
    targets: Any = NOT_GIVEN,
) -> Params:
    """The product of the generalized Gauss-Newton matrix with a vector.

        G v = J^T H (J v),   J = d model / d params,   H = d^2 loss / d outputs^2

    The Hessian of the loss without the curvature of the model: positive semidefinite
    where loss is convex in the outputs. For a negative log likelihood of an
    exponential family with natural parameters as outputs (squared error, cross
    entropy of logits) it is the Fisher matrix.

    Args:
      model: `model(params, inputs)`, the outputs, an array or a tree; without inputs
        `model(params)`.
      loss: `loss(outputs, targets)`, a scalar; without targets `loss(outputs)`.
      v: a tree like params, or all of its numbers in one vector; see `hvp`.
      params: where it is taken; real floating arrays.
      inputs: handed on to model.
      targets: handed on to loss.

    Returns:
      G v, a tree like params, in their dtypes.

    Raises:
      ValueError: v does not fit params.

    Source: Schraudolph, Fast curvature matrix-vector products for second-order
    gradient descent (2002), section 3.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> params, v = jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0])
      >>> gradtx.curvature.gnvp(jnp.prod, jnp.square, v, params)
      Array([8., 4.], dtype=float32)
    """
    along = _like(v, params)
    at = of_batch(model, inputs)
    outputs, moved = jax.jvp(at, (params,), (along,))
    gradient = jax.grad(of_batch(loss, targets))
    bent = jax.jvp(gradient, (outputs,), (moved,))[1]
    return jax.vjp(at, params)[1](bent)[0]


@compiled_once
@at_work("hessian_diag")
def hessian_diag(
    loss: LossFn,
    params: Params,
    inputs: Any = NOT_GIVEN,
    targets: Any = NOT_GIVEN,
    *,
    batch_size: int | None = None,
) -> jax.Array:
    """The diagonal of the Hessian of a loss, exactly.

        d^2 loss / d params_i^2,   for all n numbers of the parameters

    By n products with the Hessian, so for small models; from thousands of parameters
    on `hutchinson_estimator_diag_hessian` estimates it.

    Args:
      loss: `loss(params, inputs, targets)`, a scalar; see `hvp`.
      params: where it is taken; real floating arrays.
      inputs, targets: handed on to loss.
      batch_size: how many products are computed at once, at least 1; by default all
        together, with vectors of n^2 numbers. With fewer it takes less memory.

    Returns:
      n numbers in one vector, in the order of `jax.flatten_util.ravel_pytree`.

    Raises:
      ValueError: batch_size below 1.

    Source: the definition.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> params = {"w": jnp.array([1.0, 2.0])}
      >>> gradtx.curvature.hessian_diag(lambda p: (p["w"] ** 3).sum(), params)
      Array([ 6., 12.], dtype=float32)
    """
    if batch_size is not None:
        check.count("batch_size", batch_size, 1)
    flat, back = ravel_pytree(params)
    gradient = jax.grad(lambda flat: of_batch(loss, inputs, targets)(back(flat)))

    def entry(i: jax.Array) -> jax.Array:
        unit = jnp.zeros_like(flat).at[i].set(1)
        return jax.jvp(gradient, (flat,), (unit,))[1][i]

    places = jnp.arange(flat.size)
    if batch_size is None or batch_size >= flat.size:
        return jax.vmap(entry)(places)
    return lax.map(entry, places, batch_size=batch_size)


@at_work("fisher_diag")
def fisher_diag(
    negative_log_likelihood: LossFn,
    params: Params,
    inputs: Any = NOT_GIVEN,
    targets: Any = NOT_GIVEN,
) -> jax.Array:
    """The diagonal of the observed Fisher matrix: the squares of the gradient.

        (d negative_log_likelihood / d params_i)^2

    Of one example. Of a batch it is the square of the summed gradient, which is not the
    sum of squares: for that take the mean over examples,
    `jax.vmap(lambda x, y: fisher_diag(nll, params, x, y))(inputs, targets).mean(0)`.

    Args:
      negative_log_likelihood: `fn(params, inputs, targets)`, a scalar; see `hvp`.
      params: where it is taken; real floating arrays.
      inputs, targets: handed on.

    Returns:
      n numbers in one vector, in the order of `jax.flatten_util.ravel_pytree`.

    Source: Kirkpatrick et al., Overcoming catastrophic forgetting in neural networks
    (2017), section 2.1, for its use; Kunstner et al., Limitations of the empirical
    Fisher approximation (2019), equation 3, for what it is not.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> params = {"w": jnp.array([1.0, 2.0])}
      >>> gradtx.curvature.fisher_diag(lambda p: (p["w"] ** 2).sum(), params)
      Array([ 4., 16.], dtype=float32)
    """
    gradient = jax.grad(of_batch(negative_log_likelihood, inputs, targets))(params)
    return jnp.square(ravel_pytree(gradient)[0])


def _like(v: Any, params: Params) -> Params:
    """The vector as a tree like params, of their dtypes."""
    flat, back = ravel_pytree(params)
    if jax.tree.structure(v) != jax.tree.structure(params):
        if jnp.shape(v) != flat.shape if hasattr(v, "shape") else True:
            raise failure(
                f"v must be a tree like params or a vector of all {flat.size} numbers, "
                f"got {jax.tree.map(jnp.shape, v)!r:.80}."
            )
        return back(jnp.asarray(v, flat.dtype))
    check_match("v", v, "params", params)
    return jax.tree.map(lambda v, p: jnp.asarray(v, jnp.result_type(p)), v, params)
