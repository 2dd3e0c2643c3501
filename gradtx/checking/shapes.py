"""Findings about the parameters that a step is for."""

from collections.abc import Iterator
from typing import Any

from gradtx.checking.order import Said, is_zero, some
from gradtx.checking.walk import Step, chosen, cut, labels_of
from gradtx.core.compose import partition
from gradtx.optimizers.adafactor import scale_by_factored_rms
from gradtx.optimizers.apollo import scale_by_apollo
from gradtx.optimizers.came import scale_by_came
from gradtx.optimizers.galore import scale_by_galore
from gradtx.optimizers.mars import scale_by_mars
from gradtx.optimizers.novograd import scale_by_novograd
from gradtx.optimizers.stable_adamw import scale_by_stable_adamw
from gradtx.transforms.blocks import (
    scale_by_param_block_norm,
    scale_by_param_block_rms,
)
from gradtx.transforms.clip import clip_by_block_rms
from gradtx.transforms.stateless import set_to_zero
from gradtx.transforms.trust_ratio import scale_by_trust_ratio

# The last step of a path, of a parameter that is commonly not decayed.
VECTORS = ("bias", "scale")
# Rules for matrices, which leave an array of three axes to another rule.
MATRICES = (scale_by_apollo, scale_by_galore)
# Rules with one number for a whole array: a norm, or a root of a mean of squares.
NORMS = (
    clip_by_block_rms,
    scale_by_came,
    scale_by_factored_rms,
    scale_by_mars,
    scale_by_novograd,
    scale_by_param_block_norm,
    scale_by_param_block_rms,
    scale_by_stable_adamw,
    scale_by_trust_ratio,
)
DECAYS = ("weight_decay", "weight_decay_rate")


def mask_of_none(steps: list[Step]) -> Iterator[Said]:
    """A mask, or the label of a partition, that no parameter answers to."""
    answered = []
    silent: list[tuple[Any, Said]] = []
    for step in steps:
        if not step.seen:
            continue
        if step.factory is partition and not _is_groups(step):
            labels = labels_of(step)
            for label, tx in step.arguments["transforms"].items():
                if label not in labels and tx != set_to_zero():
                    known = ", ".join(repr(x) for x in dict.fromkeys(labels))
                    yield (
                        f"partition: no parameter has the label {label!r} of "
                        f"{cut(tx)}.",
                        f"Write it without, or labels with it; there are {known}.",
                    )
        mask = step.arguments.get("mask")
        decay = step.arguments.get("weight_decay", 1)
        if mask is None or isinstance(mask, bool) or is_zero(decay):
            continue
        if chosen(mask, step):
            answered.append(mask)
        else:
            said = (
                f"the mask of {step.where} chooses none of {some([*step.seen])}.",
                "Write one that is True for some of them, or leave the step out.",
            )
            silent.append((mask, said))
    # In one group of parameters a mask may choose none: in another it does.
    yield from (
        said for mask, said in silent if not any(mask is other for other in answered)
    )


def decay_on_vectors(steps: list[Step]) -> Iterator[Said]:
    """Biases and gains of normalisation that are pulled to zero with the matrices."""
    for step in steps:
        decay = [step.arguments[n] for n in DECAYS if n in step.arguments]
        wraps = any(other.is_in(step) for other in steps)
        if wraps or not step.seen or all(map(is_zero, decay)):
            continue
        mask = step.arguments.get("mask")
        paths = list(step.seen) if mask is None else chosen(mask, step)
        stacked = stacks(step.seen)
        vectors = [p for p in paths if _is_vector(p, step.seen[p], p in stacked)]
        if vectors and len(vectors) < len(paths):
            name = _mask_of(step)
            instead = (
                f"{name}=lambda params: jax.tree.map(lambda p: p.ndim > 1, params)"
                if name and not any(p in stacked for p in vectors)
                else 'groups([("**/bias", dict(weight_decay=0.0)), ...], default=...)'
            )
            yield (
                f"{step.where} decays biases or gains of normalisation: "
                f"{some(vectors)}.",
                f"Write {instead}.",
            )


def stacked_layers(steps: list[Step]) -> Iterator[Said]:
    """Layers in one array, for a rule that takes an array for one layer."""
    for step in steps:
        if step.factory not in (*MATRICES, *NORMS):
            continue
        if step.arguments.get("weight_dimension_numbers") is not None:
            continue
        mask = step.arguments.get("mask")
        paths = list(step.seen) if mask is None else chosen(mask, step)
        found = stacks(step.seen)
        layers = [p for p in paths if p in found and len(step.seen[p].shape) > 2]
        if layers:
            matters = (
                "leaves arrays of three axes to another rule"
                if step.factory in MATRICES
                else "has one norm for all layers in an array"
            )
            yield (
                f"{step.where} {matters}, and {some(layers)} look like layers that "
                f"are stacked.",
                "Write the parameters as a list of layers, or give the stack a rule "
                "for each number, as adamw, by groups.",
            )


def stacks(leaves: dict[str, Any]) -> set[str]:
    """The paths of what looks like layers stacked by `vmap` or for `scan`.

    That is all below a node whose arrays, two or more, have the same first axis, if
    none is a vector and one has three axes or more.
    """
    below: dict[str, list[str]] = {}
    for path in leaves:
        parts = path.split("/")
        for i in range(len(parts)):
            below.setdefault("/".join(parts[:i]), []).append(path)
    found: set[str] = set()
    for paths in below.values():
        shapes = [leaves[path].shape for path in paths]
        ranks = [len(shape) for shape in shapes]
        if len(paths) > 1 and min(ranks) == 2 and max(ranks) > 2:
            lengths = {shape[0] for shape in shapes}
            if len(lengths) == 1 and lengths != {1}:
                found |= {*paths}
    return found


def _is_vector(path: str, leaf: Any, stacked: bool) -> bool:
    rank = len(leaf.shape) - stacked
    return rank <= 1 or (rank == 2 and path.split("/")[-1] in VECTORS)


def _mask_of(step: Step) -> str | None:
    """The name of the argument that chooses what is decayed."""
    call = step.whole.tx.call
    names = call.bound.arguments if call else {}
    return next((n for n in ("weight_decay_mask", "mask") if n in names), None)


def _is_groups(step: Step) -> bool:
    """Whether its labels are made of patterns, each of which has been looked at."""
    return hasattr(step.arguments["param_labels"], "table")
