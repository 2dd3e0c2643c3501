"""Hints: what was probably meant, by those who know another library's names."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from gradtx.core.call import show

# From a name of torch.optim, Keras or a paper to ours; of several the first whose names
# the factory has. A pair of names takes the two values of a pair.
ALIASES: dict[str, tuple[tuple[str, ...], ...]] = {
    "alpha": (("decay",), ("learning_rate",)),
    "accumulation_steps": (("every_k_schedule",),),
    "backoff_factor": (("backoff",),),
    "beta": (("decay",), ("b1",), ("momentum",)),
    "beta1": (("b1",), ("momentum",), ("decay",)),
    "beta2": (("b2",), ("decay",)),
    "beta_1": (("b1",), ("momentum",), ("decay",)),
    "beta_2": (("b2",), ("decay",)),
    "betas": (("b1", "b2"),),
    "decay_factor": (("decay_rate",), ("decay",)),
    "epsilon": (("eps",),),
    "eta": (("learning_rate",), ("init_value",)),
    "etas": (("eta_minus", "eta_plus"),),
    "every_k": (("every_k_schedule",),),
    "gamma": (("decay",), ("momentum",), ("decay_rate",), ("learning_rate",)),
    "gradient_accumulation_steps": (("every_k_schedule",),),
    "growth_factor": (("factor",),),
    "history_size": (("memory_size",),),
    "initial_learning_rate": (("init_value",),),
    "inner_optimizer": (("inner",), ("opt",), ("fast_optimizer",)),
    "k": (("every_k_schedule",), ("sync_period",)),
    "learning_rate": (("init_value",), ("value",)),
    "lr": (("learning_rate",), ("init_value",), ("value",)),
    "max_grad_norm": (("max_norm",),),
    "momentum": (("b1",), ("decay",)),
    "num_training_steps": (("decay_steps",), ("transition_steps",)),
    "num_warmup_steps": (("warmup_steps",),),
    "optimizer": (("inner",), ("opt",), ("fast_optimizer",)),
    "rho": (("decay",),),
    "schedule": (("learning_rate",), ("step_size_fn",)),
    "step_size": (("learning_rate",), ("step_size_fn",)),
    "step_sizes": (("min_step_size", "max_step_size"),),
    "total_steps": (("decay_steps",), ("transition_steps",)),
    "tolerance_grad": (("tol",),),
    "wd": (("weight_decay",),),
}

# What is no argument here, but something of its own; {name} is the factory.
ELSEWHERE: dict[str, str] = {
    "accumulation_steps": "MultiSteps({name}(...), k)",
    "amsgrad": "amsgrad(...)",
    "clipnorm": "chain(clip_by_global_norm(...), {name}(...)), of all leaves together",
    "clipvalue": "chain(clip(...), {name}(...))",
    "global_clipnorm": "chain(clip_by_global_norm(...), {name}(...))",
    "gradient_accumulation_steps": "MultiSteps({name}(...), k)",
    "max_grad_norm": "chain(clip_by_global_norm(...), {name}(...))",
    "maximize": "maximize({name}(...))",
    "wd": "chain(add_decayed_weights(...), {name}(...))",
    "weight_decay": "chain(add_decayed_weights(...), {name}(...))",
}

# Where decay that is kept apart from the gradient has a factory of its own.
DECAYED = {"adam": "adamw", "adamax": "adamaxw", "nadam": "nadamw"}

# Switches for a speed that `jit` gives anyway.
SWITCHES = ("capturable", "differentiable", "foreach", "fused", "jit_compile")


def bind(
    signature: inspect.Signature, name: str, args: tuple, kwargs: Mapping[str, Any]
) -> inspect.BoundArguments:
    """The arguments of a call by name.

    Raises:
      TypeError: if they do not fit; it says what was probably meant.
    """
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        known = signature.parameters
        unknown = [key for key in kwargs if key not in known]
        text = " ".join(
            f"unexpected keyword argument {key!r}; "
            f"{_instead(signature, name, key, kwargs[key])}"
            for key in unknown
        )
        raise TypeError(f"{name}: {text or f'{error}; {_takes(known)}'}") from None


def _takes(names: Iterable[str]) -> str:
    return f"it takes {', '.join(names) or 'no arguments'}."


def _instead(signature: inspect.Signature, name: str, key: str, value: Any) -> str:
    known = [
        n for n, p in signature.parameters.items() if p.kind is not p.VAR_POSITIONAL
    ]
    for names in ALIASES.get(key, ()):
        if all(n in known for n in names):
            return f"say {_assigned(names, value)}."
    if key in ("wd", "weight_decay") and name in DECAYED:
        return (
            f"say {DECAYED[name]}(..., weight_decay={show(value)}), or for an L2 "
            f"penalty {ELSEWHERE[key].format(name=name)}."
        )
    if key in ELSEWHERE:
        return f"say {ELSEWHERE[key].format(name=name)}."
    if key in SWITCHES:
        return "leave it out: under jax.jit every step is one program."
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return _takes(known)


def _assigned(names: tuple[str, ...], value: Any) -> str:
    """Arguments with their values, as one would write them."""
    values = [value]
    if len(names) > 1:
        fits = isinstance(value, tuple | list) and len(value) == len(names)
        values = list(value) if fits else ["..."] * len(names)
    pairs = zip(names, values, strict=True)
    return ", ".join(f"{n}={v if v == '...' else show(v)}" for n, v in pairs)


def no_transformation(value: Any) -> str:
    """What to say of something that stands where a transformation should."""
    text = f"expected a gradient transformation (init, update), got {_cut(value)}"
    if isinstance(value, tuple | list) and value and all(map(_looks_like_one, value)):
        return f"{text}, which are several. Join them: chain(*members)."
    if inspect.isroutine(value) or isinstance(value, type):
        name = getattr(value, "__name__", "it")
        return f"{text}, which is a function. Call it: {name}(...)."
    if is_sweep(value):
        return (
            f"{text}, which is a sweep: what stands around it would see all runs as "
            f"one. Write it in what the sweep makes; one run is grid[0]."
        )
    if hasattr(value, "is_transformation"):
        return f"{text}, which is a factory. Call it: {show(value)}(...)."
    return f"{text}."


def is_sweep(value: Any) -> bool:
    """Whether it is for many runs at once: it has an init and an update, too."""
    return hasattr(value, "make_tx")


def _cut(value: Any) -> str:
    """The value as it may have been written, cut where it is long."""
    text = show(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _looks_like_one(value: Any) -> bool:
    return callable(getattr(value, "init", None)) and callable(
        getattr(value, "update", None)
    )


def number_in_text(value: Any) -> str:
    """What to say of a string that stands where a number should; else nothing."""
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return ""
        return (
            f": a string (YAML reads 1.0e-3 as a number, but not 1e-3). "
            f"Say float({value!r})"
        )
    return ""
