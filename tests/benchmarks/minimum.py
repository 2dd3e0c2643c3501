"""The fewest bytes that a step can move."""

from collections.abc import Callable

from .given import EXAMPLES

ACCUMULATED = 4  # micro-batches a step
WINDOW, SNAPSHOT = 3, 5  # copies that a window holds, and steps from one to the next
SYNC = 5  # steps from one synchronization of lookahead to the next

# From bytes of a parameter, of its gradient and of its state to the fewest bytes that
# a step can move.
Minimum = Callable[[float, float, float], float]


def once(p, g, s):
    """Everything is read once, parameters and state are written once."""
    return 2 * p + g + 2 * s


def gradients_twice(p, g, s):
    """A number over all gradients is known before any is used."""
    return once(p, g, s) + g


def both_twice(p, g, s):
    """Norms over each unit of parameters and gradients are known first."""
    return once(p, g, s) + g + p


def all_twice(p, g, s):
    """Numbers over parameters, gradients and state are known first."""
    return once(p, g, s) + p + g + s


def examples_twice(p, g, s):
    """The norm of each example's gradient is known before it is used."""
    return 2 * p + 2 * EXAMPLES * g + 2 * s


def examples_once(p, g, s):
    return 2 * p + EXAMPLES * g + 2 * s


def accumulated(p, g, s):
    """The mean over a cycle; a third of adamw's state is the accumulator."""
    acc = s / 3
    first, between, last = g + acc, g + 2 * acc, once(p, g, s - acc) + acc
    return (first + (ACCUMULATED - 2) * between + last) / ACCUMULATED


def synchronized(p, g, s):
    """The slow parameters are read and written in a synchronization only."""
    return once(p, g, s) + 2 * p / SYNC


def snapshots(p, g, s):
    """A copy of the parameters is written now and then, and none is read."""
    return once(p, g, s - WINDOW * p) + 2 * p / SNAPSHOT
