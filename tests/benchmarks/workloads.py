"""What is measured, as data: names and signatures agree, so one line builds both."""

import inspect
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import jax
import optax

import gradtx
from gradtx.testing import discover, sample
from gradtx.testing.values import every_other, is_matrix, rank

from .given import (
    Extra,
    a_loss,
    a_value,
    gradients,
    nothing,
    of_examples,
    one,
)
from .minimum import (
    ACCUMULATED,
    SYNC,
    Minimum,
    accumulated,
    all_twice,
    both_twice,
    examples_once,
    examples_twice,
    gradients_twice,
    once,
    synchronized,
)

RATE = 1e-3
SMALL = 4096  # entries of a leaf that is joined with others


def as_given(lib: ModuleType, params: Any) -> Any:
    return params


def two_sets(lib: ModuleType, params: Any) -> Any:
    return lib.LookaheadParams.init_synced(params)


class Workload(NamedTuple):
    name: str
    build: Callable[[Any], Any]  # from a library to its transformation
    floor: str | None = None  # the step by hand that does the same, or the nearest
    minimum: Minimum = once
    cycle: int = 1  # steps after which the kinds of step come again; the last is dear
    params: Callable[[Any, Any], Any] = as_given  # from library, tree to parameters
    eager: bool = False  # without jit, on 100 small leaves
    in_optax: bool = True
    # From gradients and parameters to the extra arguments of a step.
    extra: Callable[[Any, Any], Extra] = nothing
    grads: Callable[[Any], Any] = one  # from a tree like the parameters


def adamw(lib, **kwargs):
    return lib.adamw(RATE, **kwargs)


def warmup(lib):
    return lib.warmup_cosine_decay_schedule(
        0.0, RATE, warmup_steps=100, decay_steps=10_000
    )


def clipped(lib):
    return lib.chain(lib.clip_by_global_norm(1.0), lib.adamw(warmup(lib)))


def partitioned(lib):
    members = {"matrix": adamw(lib), "other": adamw(lib, weight_decay=0.0)}
    return lib.partition(members, rank)


def joined(lib):
    """What a tree of thousands of small leaves wants; Optax's flatten cannot part them.

    The same numbers as `clipped`, with which Optax is measured here.
    """
    if lib is optax:
        return clipped(lib)
    schedule = warmup(lib)
    members = {"small": lib.flatten(lib.adamw(schedule)), "large": lib.adamw(schedule)}
    return lib.chain(lib.clip_by_global_norm(1.0), lib.partition(members, by_size))


def is_vector(params):
    return jax.tree.map(lambda p: p.ndim == 1, params)


def sharp(lib, **kwargs):
    """A step up the gradient, of a length of its own, and one down."""
    up = lib.chain(lib.normalize_by_update_norm(), lib.sgd(0.05))
    return _find(lib, "sam")(adamw(lib), up, **kwargs)


def by_size(params):
    return jax.tree.map(lambda p: "small" if p.size <= SMALL else "large", params)


# What people train with; the optimizers of the library come after, by discovery.
COMBINATIONS = (
    Workload("adamw", adamw, "adamw"),
    Workload("clipped_adamw", clipped, "clipped_adamw", gradients_twice),
    Workload("joined_adamw", joined, "clipped_adamw", gradients_twice),
    Workload(
        "finite_adamw",
        lambda lib: lib.apply_if_finite(adamw(lib), max_consecutive_errors=5),
        "finite_adamw",
        gradients_twice,
    ),
    Workload(
        "accumulated_adamw",
        lambda lib: lib.MultiSteps(adamw(lib), every_k_schedule=ACCUMULATED),
        minimum=accumulated,
        cycle=ACCUMULATED,
    ),
    Workload("masked_adamw", lambda lib: lib.masked(adamw(lib), is_matrix), "adamw"),
    Workload("partitioned_adamw", partitioned, "adamw"),
    Workload(
        "injected_adamw",
        lambda lib: lib.inject_hyperparams(lib.adamw)(learning_rate=RATE),
        "adamw",
    ),
    Workload("adamw_ema", lambda lib: lib.chain(adamw(lib), lib.ema(0.99))),
    Workload(
        "agc_adamw",
        lambda lib: lib.chain(lib.adaptive_grad_clip(0.01), adamw(lib)),
        minimum=both_twice,
    ),
    Workload(
        "lookahead_adamw",
        lambda lib: lib.lookahead(adamw(lib), sync_period=SYNC, slow_step_size=0.5),
        "adamw",
        synchronized,
        cycle=SYNC,
        params=two_sets,
    ),
    Workload(
        "conditional_adamw",
        lambda lib: lib.conditionally_mask(adamw(lib), every_other),
        "adamw",
    ),
    Workload(
        "transformed_adamw",
        lambda lib: lib.chain(
            lib.conditionally_transform(lib.clip(1.0), every_other), adamw(lib)
        ),
        "adamw",
    ),
    Workload("every_adamw", lambda lib: lib.chain(adamw(lib), lib.apply_every(2))),
    Workload(
        "monitored_adamw",
        lambda lib: lib.chain(lib.monitor({"norm": lib.global_norm}), adamw(lib)),
        "clipped_adamw",
        gradients_twice,
    ),
    Workload(
        "zero_nans_adamw",
        lambda lib: lib.chain(lib.zero_nans(), adamw(lib)),
        "adamw",
    ),
    Workload("maximized_adamw", lambda lib: lib.maximize(adamw(lib)), in_optax=False),
    Workload(
        "selected_adamw",
        lambda lib: lib.selective_transform(adamw(lib), freeze_mask=is_vector),
    ),
    Workload(
        "frozen_adamw",
        lambda lib: lib.chain(adamw(lib), lib.freeze(is_vector)),
        in_optax=False,
    ),
    Workload(
        "snapshot_adamw",
        lambda lib: lib.chain(lib.snapshot("norm", lib.global_norm), adamw(lib)),
        "clipped_adamw",
        gradients_twice,
    ),
    Workload(
        "parts_adamw",  # of complex parameters; these are real
        lambda lib: _find(lib, "split_real_and_imaginary")(adamw(lib)),
        "adamw",
    ),
    Workload(
        "cautious_adamw",
        lambda lib: lib.cautious(adamw(lib)),
        minimum=all_twice,
        in_optax=False,
    ),
    Workload(
        "mechanized_adamw",
        lambda lib: _find(lib, "mechanize")(adamw(lib)),
        minimum=all_twice,
    ),
    Workload(
        "schedule_free",
        lambda lib: _find(lib, "schedule_free")(lib.sgd(RATE), RATE),
    ),
    Workload("sam_adamw", sharp, cycle=2),
    Workload(
        "opaque_sam_adamw",
        lambda lib: sharp(lib, opaque_mode=True),
        minimum=both_twice,
        extra=gradients,
    ),
    Workload(
        "fresh_sophia",
        lambda lib: lib.sophia(RATE, fresh=True),
        in_optax=False,
        extra=a_loss,
    ),
    Workload("momentum", lambda lib: lib.sgd(RATE, momentum=0.9), "momentum"),
    Workload(
        "polyak_sgd",
        lambda lib: lib.polyak_sgd(),
        minimum=gradients_twice,
        extra=a_value,
    ),
    Workload("eager_adamw", adamw, eager=True),
)


def averaging(lib, aggregator):
    """The optimizer behind an aggregator."""
    return lib.aggregating.process(lib.identity(), aggregator, adamw(lib))


# Of gradients of examples.
AGGREGATED = tuple(
    Workload(
        name,
        build,
        minimum=examples_once,
        cycle=cycle,
        in_optax=False,
        grads=of_examples,
    )
    for name, build, cycle in (
        (
            "averaged_adamw",
            lambda lib: averaging(lib, lib.aggregating.average_per_element_updates()),
            1,
        ),
        (
            "increments_adamw",
            lambda lib: averaging(
                lib, lib.aggregating.average_incrementally_updates(0, ACCUMULATED)
            ),
            ACCUMULATED,
        ),
        (
            "spread_adamw",
            lambda lib: lib.aggregating.add_mean_variance_to_opt(adamw(lib)),
            1,
        ),
    )
)

# Optimizers with a step by hand under their own name.
BY_HAND = {"adagrad", "adam", "lion", "rmsprop", "sgd"}


def _find(lib: Any, name: str) -> Any:
    """A factory of a library; some of Optax's are in `optax.contrib`."""
    found = getattr(getattr(lib, "contrib", None), name, None)
    return getattr(lib, name, None) if found is None else found


def _build(factory: Callable[..., Any], lib: Any) -> Any:
    """An optimizer with its defaults, and sample values for what has none."""
    args, kwargs = sample(factory)
    signature = inspect.signature(factory)
    given = signature.bind(*args, **kwargs).arguments
    needed = {
        name: value
        for name, value in given.items()
        if signature.parameters[name].default is inspect.Parameter.empty
    }
    return _find(lib, factory.__name__)(**needed | {"learning_rate": RATE})


# Those that call the loss again in a step (a line search, Newton's method) cost what
# it costs.
CALLS_AGAIN = {"lbfgs", "newton"}

# What the others take besides, and the fewest bytes that they move.
BESIDES: dict[str, dict[str, Any]] = {
    "dpsgd": {"grads": of_examples, "minimum": examples_twice},
    "momo": {"extra": a_value, "minimum": all_twice},
    "momo_adam": {"extra": a_value, "minimum": all_twice},
    "sophia": {"extra": a_loss},
}


def optimizers() -> list[Workload]:
    """One for every optimizer: what takes a learning rate first."""
    return [
        Workload(
            name,
            partial(_build, factory),
            floor=name if name in BY_HAND else None,
            in_optax=_find(optax, name) is not None,
            **BESIDES.get(name, {}),
        )
        for name, factory in discover(gradtx).items()
        if next(iter(inspect.signature(factory).parameters), None) == "learning_rate"
        and not name.startswith("scale_by_")
        and name not in CALLS_AGAIN
    ]


def workloads() -> dict[str, Workload]:
    """Every workload by name, those that people train with first."""
    named = {workload.name: workload for workload in COMBINATIONS + AGGREGATED}
    return named | {w.name: w for w in optimizers() if w.name not in named}


def chosen(patterns: Sequence[str]) -> list[Workload]:
    """The workloads whose names match one of the patterns.

    Raises:
      ValueError: a pattern that matches none.
    """
    known = workloads()
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise ValueError(f"no workload {pattern!r}; there are {', '.join(known)}.")
    return [
        workload
        for name, workload in known.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
