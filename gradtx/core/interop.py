"""For use inside of other libraries."""

from typing import Any


def to_optax(tx: Any) -> Any:
    """Turn a transformation into Optax's own type, extra arguments included.

    `optax.chain` and Optax's wrappers take a gradtx transformation as it is; but they
    hand extra keyword arguments (`value`, `grad`, ...) to Optax's own type only.

    Args:
      tx: any transformation.

    Returns:
      An `optax.GradientTransformationExtraArgs` with the same two functions.

    Raises:
      ImportError: if Optax is not installed.

    Example:
      >>> import gradtx, optax
      >>> tx = optax.chain(gradtx.to_optax(gradtx.adam(1e-3)), optax.scale(1.0))
    """
    import optax  # not a dependency: whoever calls this has it

    return optax.GradientTransformationExtraArgs(tx.init, tx.update)
