"""Some of the leaves for a transformation; the others are handed on or set to zero."""

from typing import Any

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.apply import apply_updates
from gradtx.core.compose import MaskedState
from gradtx.core.masking import (
    MaskOrFn,
    for_part,
    given_mask,
    hide,
    hide_alike,
    reveal,
)
from gradtx.core.plan import check_state
from gradtx.core.transformation import hands_on, inner_of, transformation
from gradtx.core.trees import map_present


@transformation
def masked(
    inner: Any,
    mask: MaskOrFn,
    *,
    mask_compatible_extra_args: bool = False,
    otherwise: str = "keep",
):
    """Transform the leaves that the mask chooses.

    The others are handed on as they came in. In front of other transformations that
    is what one wants: `chain(masked(clip(1.0), mask), adam(1e-3))`. Around an
    optimizer it is a trap: the others' raw gradients are then added to the parameters,
    uphill. Say `otherwise="zero"` there to hold them still, or give them an optimizer
    of their own with `partition`.

    State: the inner state, made of the chosen leaves only.

    Args:
      inner: the transformation for the chosen leaves; it sees `MaskedNode()`, a node
        without leaves, where the others are.
      mask: a tree of bools like the parameters (or a prefix of it: a bool stands for
        all leaves below), or a function from the parameters to one (from the updates,
        if `update` gets no parameters); `True` chooses.
      mask_compatible_extra_args: whether extra arguments that are trees like the
        updates are masked too.
      otherwise: "keep" hands the other leaves' updates on, "zero" makes them zero;
        `step` then leaves those parameters untouched.

    Raises:
      ValueError: a mask that does not fit, or another word for `otherwise`.
      TypeError: if the mask holds anything but bools, or inner is no transformation.

    Example:
      >>> import gradtx
      >>> tx = gradtx.masked(gradtx.sgd(0.5), {"w": True, "b": False}, otherwise="zero")
      >>> params = {"w": 1.0, "b": 1.0}
      >>> params, _ = tx.step({"w": 1.0, "b": 1.0}, tx.init(params), params)
      >>> float(params["w"]), float(params["b"])
      (0.5, 1.0)
    """
    check.choice("otherwise", otherwise, ("keep", "zero"))
    tx = inner_of("masked: inner", inner)

    @hands_on
    def init(params):
        return MaskedState(tx.init(hide(params, given_mask(mask, params))))

    def chosen(updates, state, params, extra):
        check_state(state, MaskedState)
        full = given_mask(mask, updates if params is None else params)
        if mask_compatible_extra_args:
            extra = hide_alike(extra, updates, full)
        return full, for_part(extra, params, full)

    def update(updates, state, params=None, **extra):
        full, extra = chosen(updates, state, params, extra)
        part = None if params is None else hide(params, full)
        new, inner_state = tx.update(
            hide(updates, full), state.inner_state, part, **extra
        )
        if otherwise == "zero":
            updates = map_present(jnp.zeros_like, updates)
        return reveal(new, updates, full), MaskedState(inner_state)

    def step(updates, state, params, **extra):
        full, extra = chosen(updates, state, params, extra)
        new, inner_state = tx.step(
            hide(updates, full), state.inner_state, hide(params, full), **extra
        )
        if otherwise == "keep":
            others = jax.tree.map(lambda inside: not inside, full)
            raw = apply_updates(hide(params, others), hide(updates, others))
            params = reveal(raw, params, others)
        return reveal(new, params, full), MaskedState(inner_state)

    return init, update, step
