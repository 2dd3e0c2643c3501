"""The arguments of a factory: which are hyperparameters, which are schedules."""

import inspect
import re
from collections import OrderedDict
from collections.abc import Callable, Collection
from numbers import Number
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.hints import bind
from gradtx.core.trees import is_function
from gradtx.schedules.stateful import is_stateful


def spread(
    signature: inspect.Signature, name: str, args: tuple, kwargs: dict
) -> dict[str, Any]:
    """Every argument by its name, with defaults, those of **kwargs among them."""
    bound = bind(signature, name, args, kwargs)
    bound.apply_defaults()
    given = dict(bound.arguments)
    collected = given.pop(collector(signature) or "", {})
    return given | collected


def gather(signature: inspect.Signature, given: dict[str, Any]) -> tuple[tuple, dict]:
    """The reverse: positional and keyword arguments to call with."""
    rest = collector(signature)
    own = {n: given[n] for n in signature.parameters if n in given and n != rest}
    if rest is not None:
        own[rest] = {n: x for n, x in given.items() if n not in own}
    bound = inspect.BoundArguments(signature, OrderedDict(own))
    return bound.args, bound.kwargs


def collector(signature: inspect.Signature) -> str | None:
    """The name of **kwargs, if there is one."""
    found = signature.parameters.values()
    return next((p.name for p in found if p.kind is p.VAR_KEYWORD), None)


def sort(
    signature: inspect.Signature, given: dict[str, Any], static: Collection[str]
) -> tuple[dict[str, Any], dict[str, Callable[[Any], Any]]]:
    """The numbers and the schedules among the arguments."""
    numbers, schedules = {}, {}
    for name, value in given.items():
        parameter = signature.parameters.get(name)
        if name in static:
            continue
        if _is_number(value):
            if not (isinstance(value, int) and is_int(parameter)):
                numbers[name] = value
        elif _is_schedule(value, parameter):
            schedules[name] = value
    return numbers, schedules


def as_hyperparam(value: Any, dtype: Any, parameter: inspect.Parameter | None):
    """The value in a floating dtype; a whole number stays whole where no float goes."""
    kind = jnp.result_type(value)
    if jnp.issubdtype(kind, jnp.complexfloating):
        dtype = jnp.promote_types(dtype, jnp.complex64)
    elif not (jnp.issubdtype(kind, jnp.floating) or _is_float(parameter)):
        dtype = kind
    return jnp.array(value, dtype)  # a copy: the state may be donated


def _is_number(value: Any) -> bool:
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return value.ndim == 0 and jnp.issubdtype(value.dtype, jnp.number)
    return isinstance(value, Number) and not isinstance(value, bool)


def _is_schedule(value: Any, parameter: inspect.Parameter | None) -> bool:
    """A function, but not a default, nor a factory of transformations or schedules."""
    if is_stateful(value):
        return parameter is None or value is not parameter.default
    if not is_function(value) or isinstance(value, type):
        return False
    if parameter is not None and value is parameter.default:
        return False
    known = getattr(value, "__dict__", {})
    return "is_transformation" not in known and "is_schedule" not in known


def _admits(parameter: inspect.Parameter | None, kind: type) -> bool:
    """Whether the annotation has the type."""
    if parameter is None:
        return False
    annotation = parameter.annotation
    if isinstance(annotation, str):
        return kind.__name__ in re.findall(r"\w+", annotation)
    return kind in (annotation, *get_args(annotation))


def _is_float(parameter: inspect.Parameter | None) -> bool:
    """Whether a float may be given where an int is."""
    by_default = parameter is not None and isinstance(parameter.default, float)
    return by_default or _admits(parameter, float)


def is_int(parameter: inspect.Parameter | None) -> bool:
    """Whether only an int may be given: a size, a period, a seed."""
    return _admits(parameter, int) and not _is_float(parameter)
