"""The polynomial iteration that takes the singular values of a matrix to 1."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import check
from gradtx.core.numerics import abs_sq, divide, root
from gradtx.core.trees import as_array, compute_dtype, failure
from gradtx.core.types import Scalar

Coefficients = tuple[float, float, float]
PRECONDITIONINGS = ("frobenius", "spectral", "aol", "schatten")

JORDAN: Coefficients = (3.4445, -4.7750, 2.0315)
# The table for singular values of up to 1.02, of matrices whose norm is made 1 / 1.02:
# without that room a singular value of 1 that is rounded up is carried off.
_SAFETY = 1.02
_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)
TABLES: dict[str, Coefficients | tuple[Coefficients, ...]] = {
    "jordan": JORDAN,
    "standard": JORDAN,
    "dion": (
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ),
    "polar_express": (
        (
            _EXPRESS[0][0] / _SAFETY,
            _EXPRESS[0][1] / _SAFETY**3,
            _EXPRESS[0][2] / _SAFETY**5,
        ),
        *_EXPRESS[1:],
    ),
    "ten_steps": (JORDAN,) * 8 + ((2.0, -1.5, 0.5),) * 2,
}


def table(name: str, given: Any, steps: int | None, steps_name: str) -> Any:
    """The coefficients as given, or those of a name, that fit the number of steps.

    Args:
      name, steps_name: of the arguments, for errors.
      given: a name, three numbers for every step, or three for each.
      steps: how many there are; None for as many as the table has, 5 for three numbers.

    Raises:
      ValueError: an unknown name, or a table of another length.
    """
    if isinstance(given, str):
        check.choice(name, given, tuple(TABLES))
        found: Any = TABLES[given]
    else:
        found = given
    shape = np.shape(found)
    if shape[-1:] != (3,) or len(shape) > 2 or 0 in shape:
        raise ValueError(
            f"{name} must be one of {tuple(TABLES)}, three numbers, or three for each "
            f"step, got {given!r:.60}."
        )
    if not isinstance(found, jax.Array):
        for x in np.ravel(np.asarray(found, dtype=object)):
            check.finite(name, x)
    if steps is not None:
        check.count(steps_name, steps, 1)
        if len(shape) == 2 and shape[0] != steps:
            raise ValueError(
                f"{name} has {shape[0]} steps, and {steps_name} is {steps}: give "
                f"{steps_name}={shape[0]}, or coefficients for {steps} steps."
            )
    return found


def rows(coefficients: Any, steps: int | None) -> list[Any]:
    """The three coefficients of each step, from what `table` gives."""
    if len(np.shape(coefficients)) == 2:
        return list(coefficients)
    return [coefficients] * (5 if steps is None else steps)


def unit(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Matrices whose largest magnitude is 1, and what it was; 1 where all is zero."""
    parts = jnp.maximum(jnp.abs(x.real), jnp.abs(x.imag)) if jnp.iscomplexobj(x) else x
    largest = jnp.max(jnp.abs(parts), axis=(-2, -1), keepdims=True)
    largest = jnp.where(largest == 0, 1, largest)
    return x / largest, largest


def iterate(
    x: jax.Array,
    coefficients: Sequence[Any],
    dtype: Any = None,
    eps: Scalar = 0.0,
    preconditioning: str = "frobenius",
) -> jax.Array:
    """The iteration on matrices whose largest magnitude is 1, or which are zero.

    Args:
      x: of shape (..., n, m), in at least float32.
      coefficients: three for each step.
      dtype: of the products; by default that of x.
      eps: added to the norm that x is divided by.
      preconditioning: by which norm.

    Returns:
      Of the shape and dtype of x.
    """
    tall = x.shape[-2] > x.shape[-1]
    y = jnp.swapaxes(x, -1, -2) if tall else x
    y = _scaled(y, eps, preconditioning)
    wide, narrow = y.dtype, y.dtype
    if dtype is not None and not jnp.iscomplexobj(y):
        narrow = jnp.dtype(dtype)
    y = y.astype(narrow)
    for row in coefficients:
        a, b, c = (jnp.asarray(k, jnp.finfo(wide).dtype) for k in row)
        gram = y @ _adjoint(y)
        # The sums in the wider dtype: XLA fuses them with the rounding.
        inner = b * gram.astype(wide) + c * (gram @ gram).astype(wide)
        y = (a * y.astype(wide) + (inner.astype(narrow) @ y).astype(wide)).astype(
            narrow
        )
    y = y.astype(wide)
    return jnp.swapaxes(y, -1, -2) if tall else y


def _adjoint(x: jax.Array) -> jax.Array:
    return jnp.swapaxes(x, -1, -2).conj()


def _scaled(x: jax.Array, eps: Scalar, preconditioning: str) -> jax.Array:
    if preconditioning in ("frobenius", "spectral"):
        if preconditioning == "frobenius":
            norm = root(jnp.sum(abs_sq(x), axis=(-2, -1), keepdims=True))
        else:
            norm = jnp.linalg.svd(x, compute_uv=False)[..., :1, None]
        return x * divide(1, norm + jnp.asarray(eps, norm.dtype), 0)
    gram = x @ _adjoint(x)
    if preconditioning == "schatten":
        size = root(jnp.sum(abs_sq(gram), axis=(-2, -1), keepdims=True))
    else:
        size = jnp.sum(jnp.abs(gram), axis=-1, keepdims=True)
    size = jnp.maximum(size, jnp.asarray(eps, size.dtype))
    return x * divide(1, root(size), 0)


def orthogonalize(
    x: Any,
    coefficients: str | Sequence[Any] = "jordan",
    steps: int | None = None,
    *,
    dtype: Any = None,
    eps: Scalar = 0.0,
) -> jax.Array:
    """Take every singular value of a matrix to about 1, and leave its vectors.

        X_0 = x / |x|_F
        X_{i+1} = a_i X_i + (b_i A + c_i A A) X_i,   A = X_i X_i^*

    where each step is an odd polynomial of the singular values. The result is close to
    U V^*, for x = U S V^*: with "jordan" singular values of X_0 from 1e-2 to 1 end
    between 0.68 and 1.13, with "polar_express" between 0.86 and 1.14. It does not
    depend on the scale of x, whose largest magnitude is divided out first, so that no
    square leaves the range; zeros stay zeros. Of x and its transpose that with fewer
    rows is used.

    Args:
      x: of shape (..., n, m); the axes in front are a stack of matrices.
      coefficients: a table, or (a, b, c) for every step, or a sequence of them.
        "jordan" has one row for any number of steps; "dion" and "polar_express" have
        5, the latter with a safety of 1.02 for rounding; "ten_steps" has 8 of Jordan's
        and 2 that settle at 1, for singular values that are 1 to many digits.
      steps: how many; by default as many as the table has, 5 for one row.
      dtype: of the products, bfloat16 say, which is faster on accelerators and gives
        two digits; by default that of x, at least float32. Complex matrices keep
        theirs.
      eps: added to |x|_F, where the largest magnitude of x is 1; at least 0.

    Returns:
      Of the shape and the dtype of x.

    Raises:
      ValueError: a vector, an unknown table, or one that does not fit the steps.

    Source: Jordan et al., Muon: an optimizer for hidden layers in neural networks
    (2024); Amsel et al., The Polar Express (2025), for its table, algorithm 2; Ahn et
    al., Dion (2025).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> x = jnp.array([[3e20, 0.0, 0.0], [0.0, -5e19, 0.0]])
      >>> gradtx.matrix.orthogonalize(x, "ten_steps").round(3) + 0.0
      Array([[ 1.,  0.,  0.],
             [ 0., -1.,  0.]], dtype=float32)
    """
    found = table("coefficients", coefficients, steps, "steps")
    check.nonnegative("eps", eps)
    given = as_array(x)
    if given.ndim < 2:
        raise failure(
            f"orthogonalize: x must be a matrix or a stack of them, got shape "
            f"{given.shape}. Say which axes are rows and columns: x[None] is one row."
        )
    if not given.size:
        return given
    y, _ = unit(given.astype(compute_dtype(given.dtype)))
    return iterate(y, rows(found, steps), dtype, eps).astype(given.dtype)
