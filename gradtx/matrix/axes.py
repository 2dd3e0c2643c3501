"""Which axes of a leaf are a matrix, and which are a stack of them."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import check
from gradtx.core.masking import spread_list, stands_for_all
from gradtx.core.trees import absent, failure, is_function, leaves_of, paths_of
from gradtx.core.types import Scalar


class MuonDimensionNumbers(NamedTuple):
    """Which axes of a leaf are the inputs and which the outputs of its matrix.

    The matrix multiplies a row from the left, x W = y. Axes that are not named are a
    stack: each of its matrices goes by itself.

    Example:
      >>> import gradtx
      >>> gradtx.MuonDimensionNumbers(1, (2, 3))  # (layers, width, heads, size)
      MuonDimensionNumbers(reduction_axis=1, output_axis=(2, 3))
    """

    reduction_axis: Sequence[int] | int = 0
    output_axis: Sequence[int] | int = 1


# One for all leaves, a tree of them like the parameters or a prefix of it, or a
# function from the parameters to one.
DimensionNumbersOrFn = Any | Callable[[Any], Any]
# How the step of a matrix depends on its shape: by name, or a number.
ScaleRule = Literal["jordan", "rms", "spectral"] | Scalar


class Matrices(NamedTuple):
    """How a leaf is a stack of matrices."""

    shape: tuple[int, ...]  # of the leaf
    order: tuple[int, ...]  # its axes: those of the stack, the inputs, the outputs
    stack: int
    inputs: int
    outputs: int

    def of(self, x: jax.Array) -> jax.Array:
        """The leaf as (stack, inputs, outputs); one matrix has no first axis."""
        stack = () if self.stack == 1 else (self.stack,)
        return x.transpose(self.order).reshape(*stack, self.inputs, self.outputs)

    def back(self, x: jax.Array) -> jax.Array:
        """The leaf from its matrices."""
        long = [self.shape[i] for i in self.order]
        inverse = sorted(range(len(long)), key=self.order.__getitem__)
        return x.reshape(long).transpose(inverse)

    def factor(self, rule: Any) -> Any:
        """What the orthogonal update of such a matrix is multiplied by.

        "jordan" sqrt(max(1, outputs / inputs)), "spectral" sqrt(outputs / inputs), a
        number that times sqrt(max(outputs, inputs)), "rms" is 0.2; None is 1.
        """
        n, m = self.inputs, self.outputs
        if rule is None:
            return 1.0
        if not isinstance(rule, str):
            return rule * math.sqrt(max(m, n))
        if rule == "rms":
            return 0.2 * math.sqrt(max(m, n))
        return math.sqrt(max(1, m / n) if rule == "jordan" else m / n)


def check_rule(name: str, rule: Any) -> None:
    """Raise unless it is a rule that `Matrices.factor` knows."""
    if isinstance(rule, str):
        check.choice(name, rule, ("jordan", "rms", "spectral"))
    elif rule is not None:
        check.positive(name, rule)


def is_numbers(x: Any) -> bool:
    """Whether it is what a tree of dimension numbers has for leaves."""
    return x is None or isinstance(x, MuonDimensionNumbers)


def numbers_of(name: str, given: DimensionNumbersOrFn, tree: Any) -> list[Any]:
    """For each leaf its dimension numbers, or None; by default those of two axes.

    Args:
      name: of the argument, for errors.
      given: what the user gave, or None.
      tree: the parameters, or what is shaped like them.

    Raises:
      ValueError: it does not fit the tree.
    """
    leaves = leaves_of(tree)[0]
    if stands_for_all(tree):
        return [None] * len(leaves)
    if given is None:
        matrix = [not absent(x) and np.ndim(x) == 2 for x in leaves]
        return [MuonDimensionNumbers() if here else None for here in matrix]
    made = given(tree) if is_function(given) else given
    return spread_list(name, made, tree, is_numbers)


def matrices_of(
    name: str, given: DimensionNumbersOrFn, tree: Any
) -> list[Matrices | None]:
    """For each leaf how it is made of matrices; None for one that is not there.

    Raises:
      ValueError: a leaf that is no matrix, or axes that are not there or named twice.
      TypeError: something else than dimension numbers.
    """
    each = numbers_of(name, given, tree)
    return [
        None if absent(x) else _matrices(name, numbers, x, path)
        for (path, x), numbers in zip(paths_of(tree), each, strict=True)
    ]


def _matrices(name: str, numbers: Any, x: Any, path: str) -> Matrices:
    shape = jnp.shape(x)
    if numbers is None:
        raise failure(
            f"updates{path} of shape {shape} is no matrix: say in {name} which of its "
            f"axes are one (MuonDimensionNumbers), or leave it to another "
            f"transformation, as muon and partition do."
        )
    if not isinstance(numbers, MuonDimensionNumbers):
        raise failure(
            f"{name}{path} must be MuonDimensionNumbers or None, got {numbers!r:.60}.",
            TypeError,
        )
    parts = [(a,) if isinstance(a, int) else tuple(a) for a in numbers]
    named = [i for part in parts for i in part]
    fit = all(-len(shape) <= i < len(shape) for i in named)
    inputs, outputs = (tuple(i % max(len(shape), 1) for i in part) for part in parts)
    if not fit or len({*inputs, *outputs}) != len(named):
        raise failure(
            f"{name}{path} must name axes of the leaf, each at most once, which has "
            f"shape {shape}; got {numbers}."
        )
    stack = tuple(i for i in range(len(shape)) if i not in inputs + outputs)
    sizes = (math.prod(shape[i] for i in part) for part in (stack, inputs, outputs))
    return Matrices(shape, stack + inputs + outputs, *sizes)
