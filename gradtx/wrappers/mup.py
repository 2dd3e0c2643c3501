"""muP: learning rates that go with the width of a model."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradtx.core import check
from gradtx.core.axes import splits
from gradtx.core.compose import chain
from gradtx.core.stacks import named_leaves
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import failure, first_difference, is_none, leaves_of
from gradtx.transforms.leaf_factors import scale_leaves
from gradtx.wrappers.layerwise import aligned
from gradtx.wrappers.patterns import Pattern, matcher

ROLES = ("input", "hidden", "output")


class Leaf(NamedTuple):
    """A parameter in both models."""

    path: str
    base: tuple[int, ...]
    shape: tuple[int, ...]
    role: str  # of ROLES, or "fixed" where nothing grows
    factor: float


@transformation
def mup_scale(
    inner: Any,
    base: Any,
    model: Any,
    *,
    rule: str = "adam",
    output: str = "rate",
    out_axis: int = -1,
    roles: Sequence[tuple[Pattern, str]] = (),
):
    """Scale the steps of a wider model, so that the rates of a narrow one hold (muP).

    Of each parameter the dimensions that differ between both models say what it is, and
    by how many times they are longer (m_in, m_out) what its steps are multiplied by:

                 what grows              adam              sgd
        hidden   two dimensions          1 / m_in          m_out / m_in
        output   one, not the last       1 / m_in          1 / m_in
        input    the last (a bias too)   1                 m_out
        fixed    none                    1                 1

    so that a step changes activations as much at any width. The first line is for
    kernels (in, out), as Flax has them. `adam` is for all that make entries of one size
    of every gradient: Lion, RMSProp, sign descent.

    The optimizer is half of it. The model must have, at initialisation, hidden weights
    of variance 1 / fan_in and output weights of 1 / fan_in^2 (in words: smaller by m_in
    than the standard); attention scores divided by the size of a head, not its root.
    With `output="multiplier"` the model multiplies its output by 1 / m_in instead, and
    the weights are as in the narrow one: then their factor is 1 (m_in for sgd).

    A weight decay inside is scaled with the rate: a decoupled or independent one is
    then ~ 1 / width for hidden weights. Around it is not: for every width
    `with_decay(mup_scale(adam(rate), ...), 0.1)` keeps rate times decay, and with it
    the timescale, as the authors' package does by a decay of 0.1 m_in.
    `print(tx.table(params))` shows all leaves.

    State: the inner one.

    Args:
      inner: the optimizer, with the rate of the narrow model.
      base: the parameters of the narrow model, or their shapes:
        `jax.eval_shape(init_narrow, key)`.
      model: those of the model that is trained.
      rule: "adam" or "sgd".
      output: "rate" or "multiplier", see above.
      out_axis: where a kernel's outputs are: -1, or 0 as in Equinox and PyTorch; then
        "last" above is "first".
      roles: pairs of a pattern, as in `groups`, and "input", "hidden" or "output", for
        what shapes do not say. The first that matches wins.

    Returns:
      A transformation with a `table`.

    Raises:
      ValueError: trees of two structures, leaves of other shapes than `model` has, more
        than two dimensions that grow, a role that does not fit, a pattern that matches
        nothing, or another word for an option.
      TypeError: if inner is not a transformation.

    Source: Yang et al., Tensor Programs V: tuning large neural networks by zero-shot
    hyperparameter transfer (2022), table 3; for "multiplier" table 8. Where the two
    dimensions of a hidden weight grow differently, and for its decay, the authors'
    package mup.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> def shapes(width):
      ...     one, two, three = (4, width), (width, width), (width, 3)
      ...     make = lambda: [jnp.zeros(s) for s in (one, two, three)]
      ...     return jax.eval_shape(make)
      >>> tx = gradtx.mup_scale(gradtx.adam(1e-2), shapes(8), shapes(64))
      >>> print(tx.table(shapes(64)))
      leaf    base    model    role  factor
      0     (4, 8)  (4, 64)   input       1
      1     (8, 8) (64, 64)  hidden   0.125
      2     (8, 3)  (64, 3)  output   0.125
    """
    check.choice("rule", rule, ("adam", "sgd"))
    check.choice("output", output, ("rate", "multiplier"))
    check.choice("out_axis", out_axis, (-1, 0))
    tx = inner_of("mup_scale: inner", inner)
    given = []
    for i, (pattern, role) in enumerate(roles):
        check.choice(f"roles[{i}]", role, ROLES)
        given.append((*matcher(f"mup_scale: roles[{i}]", pattern), role))
    if leaves_of(base)[1] != leaves_of(model)[1]:
        raise failure(first_difference("base", base, "model", model))
    pairs = zip(named_leaves(base), named_leaves(model), strict=True)
    used = set()
    leaves: list[Any] = []
    for (path, narrow), (_, wide) in pairs:
        if narrow is None or wide is None:
            leaves.append(None)
            continue
        named = next((x for x in given if x[1](path, wide)), None)
        used.add(named and named[0])
        shapes = np.shape(narrow), np.shape(wide)
        leaves.append(_leaf(path, *shapes, rule, output, out_axis, named and named[2]))
    for name, _, _ in given:
        if name not in used:
            raise failure(f"roles: {name!r} matches no parameter that is left.")
    structure = leaves_of(model)[1]
    factors = structure.unflatten(1.0 if x is None else x.factor for x in leaves)

    def of(tree: Any) -> Any:
        if not splits() and leaves_of(tree)[1] == structure:
            for (path, x), leaf in zip(named_leaves(tree), leaves, strict=True):
                if not (is_none(x) or leaf is None) and np.shape(x) != leaf.shape:
                    raise failure(
                        f"{path!r} has shape {np.shape(x)}, and model {leaf.shape}."
                    )
        return factors

    def table(params: Any) -> str:
        of(params)
        rows = [("leaf", "base", "model", "role", "factor")]
        rows += [
            (x.path, f"{x.base}", f"{x.shape}", x.role, f"{x.factor:.4g}")
            for x in leaves
            if x is not None
        ]
        return aligned(rows)

    of.__dict__["table"] = table
    return chain(tx, scale_leaves(of))


def _leaf(
    path: str,
    base: tuple[int, ...],
    shape: tuple[int, ...],
    rule: str,
    output: str,
    out_axis: int,
    role: str | None,
) -> Leaf:
    """What a parameter is, and by how much its steps are scaled."""
    if len(base) != len(shape) or 0 in base:
        raise failure(f"{path!r} has shape {base} in base, {shape} in model.")
    grown = [i for i, (a, b) in enumerate(zip(base, shape, strict=True)) if a != b]
    times = [shape[i] / base[i] for i in grown]
    if len(grown) > 2:
        raise failure(
            f"{path!r} grows in {len(grown)} dimensions, from {base} to {shape}. A "
            f"width has two at most: keep the others, heads or the size of a head, "
            f"say, as they are."
        )
    if out_axis == 0:
        times.reverse()  # now the inputs' before the outputs'
    last = bool(shape) and grown == [len(shape) - 1 if out_axis == -1 else 0]
    found = ("fixed", "input" if last else "output", "hidden")[len(grown)]
    if role is not None and (role == "hidden") != (found == "hidden"):
        raise failure(
            f"roles: {path!r} grows in {len(grown)} dimensions, from {base} to "
            f"{shape}, and cannot be {role!r}."
        )
    role = role or found
    return Leaf(path, base, shape, role, _factor(role, times, rule, output))


def _factor(role: str, times: list[float], rule: str, output: str) -> float:
    if role == "fixed":
        return 1.0
    if role == "input":
        return 1.0 if rule == "adam" else times[0]
    if role == "output":
        if output == "rate":
            return 1 / times[0]
        return 1.0 if rule == "adam" else times[0]
    return 1 / times[0] if rule == "adam" else times[1] / times[0]
