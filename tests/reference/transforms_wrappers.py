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


def clip_by_history(
    grads, params, window=128, quantile=None, multiple=None, warmup=None
):
    """Seetharaman et al. 2020, algorithm 1, for the norms of the steps before.

    Or a multiple of their mean, for which a norm counts as it was made.
    """
    least = max(window // 8, 1) if warmup is None else warmup
    norms, updates = [], []
    for tree in grads:
        norm = np.sqrt(sum(np.sum(np.abs(g) ** 2) for g in tree.values()))
        past, limit = norms[-window:], np.inf
        if len(past) >= least and multiple is None:
            limit = np.quantile(past, quantile)
        elif len(past) >= least:
            limit = multiple * np.mean(past)
        norms.append(norm if multiple is None else min(norm, limit))
        scale = min(1.0, limit / norm)
        updates.append({key: scale * g for key, g in tree.items()})
    return updates


def spikes(columns, window, sigmas, warmup, max_consecutive):
    """Which steps are left out: those with a number beyond those of the steps taken.

    Args:
      columns: what is looked at, each a number for every step.
    """
    skipped, taken, in_a_row = [], [], 0
    for row in zip(*columns, strict=True):
        past, beyond = np.array(taken[-window:]), False
        if len(taken) >= warmup:
            limits = past.mean(0) + sigmas * past.std(0, ddof=1)
            beyond = bool(np.any(row > limits))
        broken = not np.all(np.isfinite(row))
        skip = broken or (beyond and in_a_row < max_consecutive)
        if not skip:
            taken = [row] if beyond else [*taken, row]
        in_a_row = in_a_row + 1 if skip else 0
        skipped.append(skip)
    return skipped


def scales(finite, init_scale, growth_interval, factor, backoff, min_scale, max_scale):
    """The scale of each step, from which of them have finite gradients."""
    found, good = [init_scale], 0
    for ok in finite:
        good = good + 1 if ok else 0
        scale = found[-1] if ok else max(found[-1] * backoff, min_scale)
        if good == growth_interval:
            scale, good = min(scale * factor, max_scale), 0
        found.append(scale)
    return found[:-1]


def left_out(grads, params, inner, skipped):
    """`inner` over the gradients of the steps that are not."""
    taken = [not skip for skip in skipped]
    path = [params, *inner(list(itertools.compress(grads, taken)), params)]
    return [path[count] for count in itertools.accumulate(taken)]


CASES = [
    Case("clip_by_history", {"quantile": 0.3, "window": 5, "warmup": 2}),
    Case("clip_by_history", {"multiple": 1.2, "window": 5}),
    Case("clip_by_history", {"quantile": 0.9, "window": 16}, dtype=complex),
    Case("apply_every", {}),
    Case("apply_every", {"k": 3}),
    Case("apply_every", {"k": 3}, dtype=complex),
]
