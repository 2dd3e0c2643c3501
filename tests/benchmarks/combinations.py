"""What is measured of wrappers and chains, as data."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import optax

import gradtx
from gradtx.testing.values import every_other, is_matrix, rank

from .given import (
    Extra,
    a_loss,
    a_value,
    gradients,
    nothing,
    one,
)
from .minimum import (
    ACCUMULATED,
    SNAPSHOT,
    SYNC,
    WINDOW,
    Minimum,
    accumulated,
    all_twice,
    both_twice,
    gradients_twice,
    once,
    snapshots,
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


def grouped(lib):
    """Groups that differ in numbers only: as one adamw."""

    def vector(path, leaf):
        return leaf.ndim == 1

    def wide(path, leaf):
        return leaf.shape[-1] > leaf.shape[-2]

    rules = [(vector, dict(weight_decay=0.2)), (wide, dict(b2=0.99))]
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


def is_vector(params):
    return jax.tree.map(lambda p: p.ndim == 1, params)


def sharp(lib, **kwargs):
    """A step up the gradient, of a length of its own, and one down."""
    up = lib.chain(lib.normalize_by_update_norm(), lib.sgd(0.05))
    return find(lib, "sam")(adamw(lib), up, **kwargs)


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


def find(lib: Any, name: str) -> Any:
    """A factory of a library; some of Optax's are in `optax.contrib`."""
    found = getattr(getattr(lib, "contrib", None), name, None)
    return getattr(lib, name, None) if found is None else found


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
        "quantized_adamw",
        lambda lib: lib.quantize_state(adamw(lib)),
        in_optax=False,
    ),
    Workload(
        "written_adamw",
        lambda lib: lib.write(adamw(lib), "residual"),
        params=lambda lib, p: gradtx.tree.cast(p, "bfloat16"),
        in_optax=False,
    ),
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
        "average_adamw", lambda lib: lib.average_weights(adamw(lib)), in_optax=False
    ),
    Workload(
        "window_adamw",
        lambda lib: lib.average_weights(adamw(lib), window=WINDOW, every=SNAPSHOT),
        minimum=snapshots,
        cycle=SNAPSHOT,
        in_optax=False,
    ),
    Workload("gpa_adamw", lambda lib: lib.gpa(adamw(lib)), in_optax=False),
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
        "measured_clipped_adamw",
        lambda lib: lib.with_metrics(clipped(lib)),
        "clipped_adamw",
        gradients_twice,
        in_optax=False,
    ),
    Workload(
        "measured_grouped_adamw",
        lambda lib: lib.with_metrics(
            lib.chain(lib.clip_by_global_norm(1.0), grouped(lib)), per_group=True
        ),
        "clipped_adamw",
        gradients_twice,
        in_optax=False,
    ),
    Workload(
        "wholly_measured_adamw",
        lambda lib: lib.with_metrics(clipped(lib), of="all"),
        "clipped_adamw",
        all_twice,
        in_optax=False,
    ),
    Workload(
        "zero_nans_adamw",
        lambda lib: lib.chain(lib.zero_nans(), adamw(lib)),
        "adamw",
    ),
    Workload(
        "guarded_adamw",
        lambda lib: lib.skip_spikes(adamw(lib)),
        "finite_adamw",
        gradients_twice,
        in_optax=False,
        extra=a_value,
    ),
    Workload(
        "scaled_adamw",
        lambda lib: lib.loss_scaling(adamw(lib)),
        "finite_adamw",
        gradients_twice,
        in_optax=False,
    ),
    Workload(
        "history_clipped_adamw",
        lambda lib: lib.chain(lib.clip_by_history(multiple=2.0), adamw(lib)),
        "clipped_adamw",
        gradients_twice,
        in_optax=False,
    ),
    Workload(
        "projected_adamw",
        lambda lib: gradtx.project(adamw(lib), gradtx.projections.projection_linf_ball),
        "adamw",
        in_optax=False,
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
        lambda lib: find(lib, "split_real_and_imaginary")(adamw(lib)),
        "adamw",
    ),
    Workload(
        "cautious_adamw",
        lambda lib: lib.cautious(adamw(lib)),
        minimum=all_twice,
        in_optax=False,
    ),
    Workload(
        "lazy_adamw",
        lambda lib: lib.lazy(adamw(lib)),
        minimum=gradients_twice,
        in_optax=False,
    ),
    Workload(
        "mechanized_adamw",
        lambda lib: find(lib, "mechanize")(adamw(lib)),
        minimum=all_twice,
    ),
    Workload(
        "schedule_free",
        lambda lib: find(lib, "schedule_free")(lib.sgd(RATE), RATE),
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
