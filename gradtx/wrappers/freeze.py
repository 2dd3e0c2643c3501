"""Parameters held still."""

from typing import Any

import jax

from gradtx.core.compose import partition
from gradtx.core.masking import MaskOrFn, resolve_mask
from gradtx.core.transformation import inner_of, transformation
from gradtx.transforms.stateless import set_to_zero
from gradtx.wrappers.masked import masked


@transformation
def freeze(mask: MaskOrFn):
    """Hold still the parameters that the mask chooses.

    Their updates become zero, the others' are handed on. So it comes last, when decay
    and momentum have been added: `chain(adamw(1e-3), freeze(mask))`; there `step`
    leaves the frozen parameters untouched. The optimizer still keeps a state for
    them; `masked(adamw(1e-3), the_others, otherwise="zero")` does not, and saves the
    work.

    State: none.

    Args:
      mask: a tree of bools like the parameters (or a prefix of it), or a function from
        the parameters to one; `True` freezes.

    Raises:
      ValueError: a mask that does not fit.
      TypeError: if the mask holds anything but bools.

    Example:
      >>> import gradtx
      >>> tx = gradtx.chain(gradtx.sgd(0.5), gradtx.freeze({"w": False, "b": True}))
      >>> params = {"w": 1.0, "b": 1.0}
      >>> params, _ = tx.step({"w": 1.0, "b": 1.0}, tx.init(params), params)
      >>> float(params["w"]), float(params["b"])
      (0.5, 1.0)
    """
    return masked(set_to_zero(), mask)


@transformation
def selective_transform(optimizer: Any, *, freeze_mask: MaskOrFn):
    """Optimize the parameters that the mask does not choose, and hold the others still.

    The optimizer sees the others only, and has a state for them only. The same as
    `partition` with the labels "train" and "freeze", whose state it has; `step` leaves
    the frozen parameters untouched.

    State: the optimizer's, without the frozen leaves.

    Args:
      optimizer: for what is not frozen.
      freeze_mask: a tree of bools like the parameters (or a prefix of it), or a
        function from the parameters to one; `True` freezes.

    Raises:
      ValueError: a mask that does not fit.
      TypeError: if the mask holds anything but bools, or optimizer is not a
        transformation.

    Example:
      >>> import gradtx
      >>> mask = {"w": False, "b": True}
      >>> tx = gradtx.selective_transform(gradtx.sgd(0.5), freeze_mask=mask)
      >>> params = {"w": 1.0, "b": 1.0}
      >>> params, _ = tx.step({"w": 1.0, "b": 1.0}, tx.init(params), params)
      >>> float(params["w"]), float(params["b"])
      (0.5, 1.0)
    """
    tx = inner_of("selective_transform: optimizer", optimizer)

    def labels(tree):
        frozen = resolve_mask(freeze_mask, tree, "freeze_mask")
        return jax.tree.map(lambda still: "freeze" if still else "train", frozen)

    return partition({"train": tx, "freeze": set_to_zero()}, labels)
