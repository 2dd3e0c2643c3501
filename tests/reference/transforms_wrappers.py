"""More transformations and wrappers as formulas; see transforms.py."""

import itertools

import numpy as np

from .cases import Case
from .transforms import per_array


@per_array
def apply_every(grads, params, k=1):
    """The sum of each k gradients at the last of them, zero before."""
    for t, g in enumerate(grads):
        last = (t + 1) % k == 0
        yield np.sum(grads[t + 1 - k : t + 1], axis=0) if last else np.zeros_like(g)


def conditionally_mask(grads, params, inner, condition):
    """`inner` over the gradients of the steps in which the condition holds."""
    taken = [condition(t) for t in range(len(grads))]
    path = [params, *inner(list(itertools.compress(grads, taken)), params)]
    return [path[count] for count in itertools.accumulate(taken)]


def conditionally_transform(grads, params, inner, condition):
    """The same, with the gradient itself as the move of the other steps.

    The moves of `inner` are those from anywhere, so it must not look at its parameters.
    """
    taken = [condition(t) for t in range(len(grads))]
    path = [params, *inner(list(itertools.compress(grads, taken)), params)]
    moves = iter(np.diff(path, axis=0))
    steps = [next(moves) if t else g for t, g in zip(taken, grads, strict=True)]
    return list(itertools.accumulate(steps, initial=params))[1:]


CASES = [
    Case("apply_every", {}),
    Case("apply_every", {"k": 3}),
    Case("apply_every", {"k": 3}, dtype=complex),
]
