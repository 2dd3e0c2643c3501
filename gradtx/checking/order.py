"""Findings about what stands where."""

from collections.abc import Iterator
from numbers import Real

from gradtx.checking.walk import Step, chosen, cut
from gradtx.core.call import show
from gradtx.core.hints import DECAYED
from gradtx.distributed.zero import zero1
from gradtx.transforms.clip import (
    adaptive_grad_clip,
    clip,
    clip_by_block_rms,
    clip_by_global_norm,
)
from gradtx.transforms.clip_by_history import clip_by_history
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.scale import scale, scale_by_learning_rate, scale_by_schedule
from gradtx.transforms.shrink import shrink_weights
from gradtx.transforms.stateless import set_to_zero
from gradtx.wrappers.accumulate import MultiSteps
from gradtx.wrappers.conditional import conditionally_transform
from gradtx.wrappers.hyperball import keep_norms
from gradtx.wrappers.masked import masked

# They are told the rate in front of them, which they do not multiply by.
TOLD = (keep_norms, shrink_weights)

Said = tuple[str, str]  # the problem, and what to write instead

CLIPS = (
    adaptive_grad_clip,
    clip,
    clip_by_block_rms,
    clip_by_global_norm,
    clip_by_history,
)


def decay_after_rate(steps: list[Step]) -> Iterator[Said]:
    """Decay that no rate comes after: it has the sign of growth."""
    rates = [s for s in steps if _is_rate(s, steps)]
    turning = [s for s in steps if _may_turn(s) or s in rates]
    for step in steps:
        if step.factory is not add_decayed_weights:
            continue
        decay = step.arguments["weight_decay"]
        rate = _nearest_before(step, [s for s in turning if _turns(s) or s in rates])
        later = [s for s in turning if step in s.before and s.shares(step)]
        if rate is None or later or is_zero(decay):
            continue
        name = getattr(rate.whole.tx.call, "name", "")
        instead = (
            f"{DECAYED[name]}(..., weight_decay={show(decay)})"
            if name in DECAYED
            else f"chain({step.where}, {rate.where})"
        )
        yield (
            f"{step.where} stands behind {rate.where}, where nothing turns its sign: "
            f"weights grow.",
            f"Write {instead}.",
        )


def clip_after_rate(steps: list[Step]) -> Iterator[Said]:
    """A clip behind an optimizer."""
    rates = [s for s in steps if _is_rate(s, steps)]
    for step in steps:
        rate = _nearest_before(step, rates) if step.factory in CLIPS else None
        if rate is not None:
            yield (
                f"{step.where} limits the steps of {rate.where}, not the gradients.",
                f"Write chain({step.where}, {rate.where}).",
            )


def two_rates(steps: list[Step]) -> Iterator[Said]:
    """An optimizer behind an optimizer."""
    rates = [s for s in steps if _is_rate(s, steps)]
    for step in rates:
        first = _nearest_before(step, rates)
        if first is not None and first.whole is not step.whole:  # fromage has two
            yield (
                f"{step.where} stands behind {first.where}: their learning rates "
                f"multiply, and what both turn downhill goes uphill.",
                "Write one of them; for a momentum or a scaling that comes first, a "
                "step without a rate, as trace or scale_by_adam.",
            )


def two_schedules(steps: list[Step]) -> Iterator[Said]:
    """Factors of the same updates that both follow the step."""
    rates = [s for s in steps if _is_rate(s, steps)]
    following = [
        s
        for s in steps
        if s.factory is scale_by_schedule
        or (s.factory not in TOLD and callable(s.arguments.get("learning_rate")))
    ]
    for step in following:
        first = _nearest_before(step, following)
        both = step in rates and first in rates
        if first is not None and not both:
            yield (
                f"{step.where} and {first.where} are two schedules of the same "
                f"parameters: they multiply.",
                "Write one, join_schedules for one after the other, or lambda count: "
                "a(count) * b(count) if the product is meant.",
            )


def raw_gradients(steps: list[Step]) -> Iterator[Said]:
    """An optimizer that leaves gradients as they are, to be added."""
    rates = [s for s in steps if _is_rate(s, steps)]
    for step in steps:
        inside = [s for s in rates if s.is_in(step)]
        if not inside:
            continue
        if step.factory is conditionally_transform:
            yield (
                f"{step.where} is around an optimizer: in the steps that it leaves out "
                f"the raw gradients are added, uphill.",
                "Write conditionally_mask(...), which takes no step then.",
            )
        if step.factory is not masked or step.arguments["otherwise"] != "keep":
            continue
        handled = set(chosen(step.arguments["mask"], step))
        for other in steps:
            if not other.is_in(step) and (
                other in rates or _may_turn(other) or other.factory is set_to_zero
            ):
                handled |= other.seen.keys()
        left = [path for path in step.seen if path not in handled]
        if left:
            yield (
                f"{step.where} is around an optimizer, and the raw gradients of "
                f"{some(left)} are added, uphill.",
                'Write masked(..., otherwise="zero") to hold them still, or groups for '
                "an optimizer of their own.",
            )


def accumulate_inside_zero1(steps: list[Step]) -> Iterator[Said]:
    """Micro-batches that are each sent to the other devices."""
    for step in steps:
        outer = [s for s in step.around if s.factory is zero1]
        if step.factory is MultiSteps and outer:
            k, axis = step.arguments["every_k_schedule"], outer[0].arguments
            yield (
                f"{step.where} stands inside of zero1: the gradients of each "
                f"micro-batch are sent, not only their sum.",
                f"Write MultiSteps(zero1({cut(step.arguments['opt'])}, "
                f"{axis['axis_name']!r}), {show(k)}).",
            )


def _is_rate(step: Step, steps: list[Step]) -> bool:
    """Whether a step multiplies by a learning rate, alone or in a rule of its own.

    A wrapper's is a number that it is told (`schedule_free`).
    """
    told = step.factory in TOLD or any(other.is_in(step) for other in steps)
    return step.arguments.get("learning_rate") is not None and not told


def _turns(step: Step) -> bool:
    """Whether a step is known to turn the sign."""
    if step.factory is scale_by_learning_rate:
        return True
    size = step.arguments.get("step_size")
    return step.factory is scale and isinstance(size, Real) and size < 0


def _may_turn(step: Step) -> bool:
    """Whether it does, or follows a function or an array of any sign."""
    unknown = not isinstance(step.arguments.get("step_size"), Real)
    return _turns(step) or (unknown and step.factory in (scale, scale_by_schedule))


def _nearest_before(step: Step, those: list[Step]) -> Step | None:
    """The last of those before a step that has parameters in common with it."""
    for other in reversed(step.before):
        if other in those and step.shares(other):
            return other
    return None


def is_zero(value: object) -> bool:
    return value is None or (isinstance(value, Real) and value == 0)


def some(paths: list[str]) -> str:
    """The first paths, and how many more there are."""
    named = ", ".join(repr(path) for path in paths[:3])
    return f"{named} and {len(paths) - 3} more" if len(paths) > 3 else named
