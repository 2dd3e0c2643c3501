"""Parameters held still."""

from gradtx.core.masking import MaskOrFn
from gradtx.core.transformation import transformation
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
