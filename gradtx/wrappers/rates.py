"""What a wrapper finds out about the learning rate of the transformation inside."""

import inspect
from collections.abc import Iterator
from typing import Any

from gradtx.core import check
from gradtx.core.call import Remembered, show
from gradtx.core.compose import chain, named_chain
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale_by_learning_rate

# What makes the size of the step itself, so that the learning rate is a factor of it.
ESTIMATING = (
    "scale_by_cocob",
    "scale_by_distance_over_gradients",
    "scale_by_dog",
    "scale_by_dowg",
    "scale_by_polyak",
)

# Where a schedule's largest value stands among its arguments.
LARGEST = {
    "constant_schedule": ("value",),
    "cosine_decay_schedule": ("init_value",),
    "linear_schedule": ("init_value", "end_value"),
    "polynomial_schedule": ("init_value", "end_value"),
}


def members(tx: Any) -> Iterator[Any]:
    """The transformation and, through aliases and chains, what it is made of."""
    yield tx
    call = getattr(tx, "call", None)
    if call is None or not inspect.isfunction(call.factory):
        return  # made by hand, or by inject_hyperparams, which has its own rate
    if tx.made_of is not None:
        yield from members(tx.made_of)
    elif call.factory is chain:
        for inner in call.args:
            yield from members(inner)
    elif call.factory is named_chain:
        for _, inner in call.args:
            yield from members(inner)


def rate_of(place: str, tx: Any, given: Any) -> Any:
    """The learning rate of a transformation: the one given, or the one in its chain.

    Raises:
      ValueError: there is none in it, or several, or one that is not the step's.
    """
    if given is not None:
        check.learning_rate(f"{place}: learning_rate", given)
        return given
    inside = [x.call for x in members(tx) if getattr(x, "call", None) is not None]
    found = [c for c in inside if c.factory is scale_by_learning_rate]
    own = [call.name for call in inside if call.name in ESTIMATING]
    why = f"has {len(found) or 'no'} learning rate{'s' * (len(found) > 1)} in its chain"
    if own:
        why = f"estimates the size of its steps itself, in {own[0]}"
    if own or len(found) != 1:
        raise ValueError(
            f"{place}: {show(tx):.60} {why}: say learning_rate=, a number or a "
            f"schedule."
        )
    return found[0].bound.arguments["learning_rate"]


def peak_of(place: str, rate: Any, given: Any) -> Any:
    """The largest learning rate: the one given, or what the rate itself says.

    Raises:
      ValueError: if it does not say it.
    """
    if given is not None:
        check.positive(f"{place}: peak", given)
        return given
    if isinstance(rate, float | int):
        check.positive(f"{place}: the peak, which is the learning rate,", rate)
        return rate
    if isinstance(rate, Remembered) and rate.call is not None:
        arguments = rate.call.bound.arguments
        names = LARGEST.get(rate.call.name, ("peak_value",))
        values = [arguments[name] for name in names if name in arguments]
        if values and all(isinstance(x, float | int) for x in values):
            check.positive(f"{place}: the largest of {show(rate):.60}", max(values))
            return max(values)
    raise ValueError(
        f"{place}: the largest learning rate is not known from {show(rate):.60}: say "
        f"peak=."
    )


def check_no_decay(place: str, tx: Any) -> None:
    """Raise if an optimizer inside has a weight decay of its own.

    What stands in a chain by itself (`add_decayed_weights`) was put there on purpose.
    """
    for inner in members(tx):
        call = getattr(inner, "call", None)
        if call is None or call.factory is add_decayed_weights:
            continue
        if not inspect.isfunction(call.factory) or "learning_rate" not in (
            arguments := call.bound.arguments
        ):
            continue
        for name in ("weight_decay", "weight_decay_rate"):
            value = arguments.get(name)
            if value is not None and not (
                isinstance(value, float | int) and value == 0
            ):
                raise ValueError(
                    f"{place}: {call.name} decays the weights itself, with "
                    f"{name}={show(value)}: give it {name}=0.0."
                )
