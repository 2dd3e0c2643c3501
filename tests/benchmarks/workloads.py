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
from gradtx.testing import EXTRA, discover, sample
from gradtx.testing.values import UPDATES, every_other, is_matrix, rank

RATE = 1e-3
ACCUMULATED = 4  # micro-batches a step
SMALL = 4096  # entries of a leaf that is joined with others
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


def accumulated(p, g, s):
    """The mean over a cycle; a third of adamw's state is the accumulator."""
    acc = s / 3
    first, between, last = g + acc, g + 2 * acc, once(p, g, s - acc) + acc
    return (first + (ACCUMULATED - 2) * between + last) / ACCUMULATED


def synchronized(p, g, s):
    """The slow parameters are read and written in a synchronization only."""
    return once(p, g, s) + 2 * p / SYNC


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


def grouped(lib):
    """Groups that differ in numbers only: as one adamw."""
    rules = [("w", dict(weight_decay=0.0)), ("qkv", dict(b2=0.99))]
    return lib.groups(rules, default=adamw(lib))


def joined(lib):
    """What a tree of thousands of small leaves wants; Optax's flatten cannot part them.

    The same numbers as `clipped`, with which Optax is measured here.
    """
    if lib is optax:
        return clipped(lib)
    schedule = warmup(lib)
    members = {"small": lib.flatten(lib.adamw(schedule)), "large": lib.adamw(schedule)}
    return lib.chain(lib.clip_by_global_norm(1.0), lib.partition(members, by_size))


def by_size(params):
    return jax.tree.map(lambda p: "small" if p.size <= SMALL else "large", params)


@gradtx.transformation
def weighing(tx):
    """Micro-batches of a few tokens each, which a loop would tell in each step."""

    def update(updates, state, params=None):
        return tx.update(updates, state, params, weight=3.0)

    def step(updates, state, params):
        return tx.step(updates, state, params, weight=3.0)

    return tx.init, update, step


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
    Workload(
        "weighted_adamw",
        lambda lib: weighing(
            lib.MultiSteps(adamw(lib), every_k_schedule=ACCUMULATED, weighted=True)
        ),
        minimum=accumulated,
        cycle=ACCUMULATED,
        in_optax=False,
    ),
    Workload("masked_adamw", lambda lib: lib.masked(adamw(lib), is_matrix), "adamw"),
    Workload("partitioned_adamw", partitioned, "adamw"),
    Workload("grouped_adamw", grouped, "adamw", in_optax=False),
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
    Workload(
        "projected_adamw",
        lambda lib: gradtx.project(adamw(lib), gradtx.projections.projection_linf_ball),
        "adamw",
        in_optax=False,
    ),
    Workload("momentum", lambda lib: lib.sgd(RATE, momentum=0.9), "momentum"),
    Workload("eager_adamw", adamw, eager=True),
)

# Optimizers with a step by hand under their own name.
BY_HAND = {"adagrad", "adam", "lion", "rmsprop", "sgd"}


def _find(lib: Any, name: str) -> Any:
    """A factory of a library; Optax has some in `optax.contrib`."""
    found = getattr(lib, name, None)
    return (
        getattr(getattr(lib, "contrib", None), name, None) if found is None else found
    )


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


def optimizers() -> list[Workload]:
    """One for every optimizer: what takes a learning rate first.

    Those that call the function again in a step (a line search, Newton's method) cost
    what it costs, those that take gradients of examples what a batch does; both are
    left out.
    """
    return [
        Workload(
            name,
            partial(_build, factory),
            floor=name if name in BY_HAND else None,
            in_optax=_find(optax, name) is not None,
        )
        for name, factory in discover(gradtx).items()
        if next(iter(inspect.signature(factory).parameters), None) == "learning_rate"
        and not name.startswith("scale_by_")
        and name not in EXTRA | UPDATES
    ]


def workloads() -> dict[str, Workload]:
    """Every workload by name, those that people train with first."""
    named = {workload.name: workload for workload in COMBINATIONS}
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
