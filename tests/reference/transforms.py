"""Transformations and wrappers as formulas, in NumPy float64.

A transformation maps a list of gradient trees, dict[str, array], to the updates:
`trace(grads, params, decay=0.9)`, with the same params at every step. `per_array` lifts
what is stated for one array's gradients over the tree. A wrapper takes one array and
`inner(grads, params)`, a reference optimizer whose other arguments are bound, and
returns the parameters after every step.
"""

import functools
import itertools

import numpy as np


def per_array(rule):
    """Apply `rule(gradients of one array, the array)` to each key on its own."""

    @functools.wraps(rule)
    def transform(grads, params, **hyper):
        updates = {
            key: list(rule([g[key] for g in grads], p, **hyper))
            for key, p in params.items()
        }
        return [{key: updates[key][i] for key in params} for i in range(len(grads))]

    return transform


@per_array
def trace(grads, params, decay, nesterov=False, dampening=0.0):
    """Sutskever et al. 2013, eq. 1 and 3, without the learning rate."""
    v = None
    for g in grads:
        v = g if v is None else decay * v + (1 - dampening) * g
        yield g + decay * v if nesterov else v


@per_array
def ema(grads, params, decay, debias=True):
    """Kingma & Ba 2015, section 3: an average from zero, over the weight it has."""
    m = np.zeros_like(params)
    for t, g in enumerate(grads, 1):
        m = decay * m + (1 - decay) * g
        yield m / (1 - decay**t) if debias else m


@per_array
def add_decayed_weights(grads, params, weight_decay=0.0):
    """Loshchilov & Hutter 2019, algorithm 2, line 12: the term in theta."""
    rate = weight_decay if callable(weight_decay) else lambda step: weight_decay
    return [g + rate(step) * params for step, g in enumerate(grads)]


@per_array
def clip(grads, params, max_delta):
    """Each entry into [-max_delta, max_delta]."""
    return [np.minimum(np.maximum(g, -max_delta), max_delta) for g in grads]


@per_array
def clip_by_block_rms(grads, params, threshold):
    """Shazeer & Stern 2018, section 6: U / max(1, RMS(U) / d)."""
    rms = [np.sqrt(np.mean(np.abs(g) ** 2)) for g in grads]
    return [g / max(1, r / threshold) for g, r in zip(grads, rms, strict=True)]


def clip_by_global_norm(grads, params, max_norm):
    """Pascanu et al. 2013, algorithm 1, with one norm over the whole tree."""
    updates = []
    for tree in grads:
        norm = np.sqrt(sum(np.sum(np.abs(g) ** 2) for g in tree.values()))
        scale = max_norm / norm if norm > max_norm else 1.0
        updates.append({key: scale * g for key, g in tree.items()})
    return updates


@per_array
def adaptive_grad_clip(grads, params, clipping, eps=1e-3, axis=None):
    """Brock et al. 2021, eq. 3; a unit is what feeds one output.

    An array with at most one axis longer than 1 is one unit. Otherwise the norms go
    over the first of two or three axes, or over all of four or more but the last.
    """
    if axis is None:
        vector = sum(length > 1 for length in params.shape) <= 1
        fan_in = 1 if params.ndim == 3 else params.ndim - 1
        axis = tuple(range(params.ndim if vector else fan_in))

    def norm(x):
        return np.sqrt(np.sum(np.abs(x) ** 2, axis=axis, keepdims=True))

    limit = clipping * np.maximum(norm(params), eps)
    for g in grads:
        ratio = np.divide(
            limit, norm(g), out=np.ones_like(limit), where=norm(g) > limit
        )
        yield g * ratio


@per_array
def zero_nans(grads, params):
    """NaN becomes 0; infinities stay."""
    return [np.where(np.isnan(g), 0, g) for g in grads]


@per_array
def centralize(grads, params):
    """Yong et al. 2020, eq. 1, if units are rows: the mean is over all other axes."""
    for g in grads:
        axes = tuple(range(1, g.ndim))
        yield g - np.mean(g, axis=axes, keepdims=True) if axes else g


def multi_steps(
    grads, params, inner, every_k_schedule, use_grad_mean=True, skip=lambda g: False
):
    """One step of `inner` on the mean (or sum) of every k gradients, none in between.

    A schedule gives k from the number of steps that `inner` has taken. A gradient that
    `skip` refuses counts for nothing.
    """
    k_of = (
        every_k_schedule if callable(every_k_schedule) else lambda n: every_k_schedule
    )
    waiting, batches, steps = [], [], []
    for g in grads:
        if not skip(g):
            waiting.append(g)
        if len(waiting) == k_of(len(batches)):
            total = np.sum(waiting, axis=0)
            batches.append(total / len(waiting) if use_grad_mean else total)
            waiting = []
        steps.append(len(batches))
    path = [params, *inner(batches, params)]
    return [path[step] for step in steps]


def lookahead(grads, params, inner, sync_period, slow_step_size, reset_state=False):
    """Zhang et al. 2019, algorithm 1: (fast, slow) after every step.

    Between synchronizations the fast weights take the steps that `inner` takes from
    anywhere, so `inner` must not look at its parameters (no decay).
    """
    fast = slow = params
    free = np.diff([params, *inner(grads, params)], axis=0)
    path = []
    for start in range(0, len(grads), sync_period):
        period = slice(start, start + sync_period)
        moves = free[period]
        if reset_state:
            moves = np.diff([params, *inner(grads[period], params)], axis=0)
        for move in moves:
            fast = fast + move
            path.append((fast, slow))
        if len(moves) == sync_period:
            fast = slow = slow + slow_step_size * (fast - slow)
            path[-1] = (fast, slow)
    return path


def apply_if_finite(grads, params, inner, max_consecutive_errors):
    """`inner` over the gradients that pass: finite, or after too many that were not."""
    errors, passed = 0, []
    for g in grads:
        errors = 0 if np.all(np.isfinite(g)) else errors + 1
        passed.append(errors == 0 or errors > max_consecutive_errors)
    taken = list(itertools.compress(grads, passed))
    path = [params, *inner(taken, params)]
    return [path[count] for count in itertools.accumulate(passed)]
