"""Optimizers as their papers state them, in NumPy float64, one array at a time.

Each is a generator of the parameters after every step; `trajectory` makes it a function
`adam(grads, params, learning_rate, b1=..., ...)` that returns their list. The letters
are the papers' where they do not collide; t counts from 1, a schedule's step from 0.
"""

import functools
import inspect

import numpy as np


def schedule(value):
    """A constant as a function of the step."""
    return value if callable(value) else lambda step: value


def trajectory(algorithm):
    """Run `algorithm` over all gradients; rate and weight decay may be schedules."""

    @functools.wraps(algorithm)
    def run(*args, **kwargs):
        call = inspect.signature(algorithm).bind(*args, **kwargs)
        call.apply_defaults()
        for name in {"learning_rate", "weight_decay"} & call.arguments.keys():
            call.arguments[name] = schedule(call.arguments[name])
        return list(algorithm(**call.arguments))

    return run


def square(g):
    """|g|^2, real for complex g too."""
    return np.abs(g) ** 2


@trajectory
def sgd(grads, w, learning_rate, momentum=None, nesterov=False, dampening=0.0):
    """Sutskever et al. 2013, eq. 1-4, as in More Optimization (x + mu v)."""
    v = None
    for step, g in enumerate(grads):
        if momentum is None:
            d = g
        else:
            v = g if v is None else momentum * v + (1 - dampening) * g
            d = g + momentum * v if nesterov else v
        w = w - learning_rate(step) * d
        yield w


@trajectory
def adagrad(
    grads,
    w,
    learning_rate,
    initial_accumulator_value=0.1,
    eps=1e-7,
    eps_in_sqrt=True,
):
    """Duchi et al. 2011, figure 1 (diagonal); eps in the root: Boyd-Graber, eq. 8."""
    s = np.full(w.shape, initial_accumulator_value)
    for step, g in enumerate(grads):
        s = s + square(g)
        # No gradient so far: the pseudo-inverse moves nothing, even if eps = 0.
        root = np.sqrt(s + eps) if eps_in_sqrt else np.sqrt(s) + eps
        d = np.divide(g, root, out=np.zeros_like(g), where=s > 0)
        w = w - learning_rate(step) * d
        yield w


@trajectory
def rmsprop(
    grads,
    w,
    learning_rate,
    decay=0.9,
    eps=1e-8,
    initial_scale=0.0,
    eps_in_sqrt=True,
    centered=False,
    momentum=None,
    nesterov=False,
    bias_correction=False,
):
    """Hinton 2012, lecture 6e; centered and momentum: Graves 2013, eq. 38-41."""
    n, m, v = np.full(w.shape, initial_scale), np.zeros_like(w), np.zeros_like(w)
    for step, g in enumerate(grads):
        n = decay * n + (1 - decay) * square(g)
        m = decay * m + (1 - decay) * g
        seen = 1 - decay ** (step + 1) if bias_correction else 1
        variance = n / seen - square(m / seen) if centered else n / seen
        root = np.sqrt(variance + eps) if eps_in_sqrt else np.sqrt(variance) + eps
        d = learning_rate(step) * g / root  # the velocity has the learning rate in it
        if momentum is not None:
            v = momentum * v + d
            d = d + momentum * v if nesterov else v
        w = w - d
        yield w


@trajectory
def adadelta(grads, w, learning_rate, rho=0.9, eps=1e-6, weight_decay=0.0):
    """Zeiler 2012, algorithm 1, times a learning rate (the paper has 1)."""
    g2, x2 = np.zeros(w.shape), np.zeros(w.shape)
    for step, g in enumerate(grads):
        g = g + weight_decay(step) * w
        g2 = rho * g2 + (1 - rho) * square(g)
        x = np.sqrt(x2 + eps) / np.sqrt(g2 + eps) * g
        x2 = rho * x2 + (1 - rho) * square(x)
        w = w - learning_rate(step) * x
        yield w


@trajectory
def rprop(
    grads,
    w,
    learning_rate,
    eta_minus=0.5,
    eta_plus=1.2,
    min_step_size=1e-6,
    max_step_size=50.0,
):
    """iRprop-, Igel & Huesken 2000: after a change of sign, halve and wait a step."""
    delta, before = np.full(w.shape, learning_rate(0)), np.zeros_like(w)
    for g in grads:
        same = np.sign(g) * np.sign(before)
        larger = np.minimum(delta * eta_plus, max_step_size)
        smaller = np.maximum(delta * eta_minus, min_step_size)
        delta = np.where(same > 0, larger, np.where(same < 0, smaller, delta))
        g = np.where(same < 0, 0, g)
        w = w - delta * np.sign(g)
        before = g
        yield w


@trajectory
def lion(grads, w, learning_rate, b1=0.9, b2=0.99, weight_decay=1e-3):
    """Chen et al. 2023, algorithm 2."""
    m = np.zeros_like(w)
    for step, g in enumerate(grads):
        c = np.sign(b1 * m + (1 - b1) * g)
        w = w - learning_rate(step) * (c + weight_decay(step) * w)
        m = b2 * m + (1 - b2) * g
        yield w
