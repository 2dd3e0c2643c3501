"""What a logger wants to know of each step, kept in the state."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.apply import apply_updates
from gradtx.core.axes import AxisNames, check_axis_name
from gradtx.core.numerics import as_float, divide, one_minus_power, root, safe_increment
from gradtx.core.plan import Plan, check_state, need_params, plan_of, updating
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import failure
from gradtx.core.types import Scalar
from gradtx.transforms.clip import clip_by_global_norm
from gradtx.wrappers.counters import counted, counts_any
from gradtx.wrappers.group_sums import WHOLE, GroupSums, inside
from gradtx.wrappers.learning_rates import NAME as RATE, learning_rates
from gradtx.wrappers.looking import Looking, apart, gated, stored

CLIPS = ("clipped_grad_norm", "clip_fraction")
# What takes another look at memory.
DEAR = ("update_norm", "param_norm", "update_ratio")
NAMES = (RATE, "grad_norm", *CLIPS, "skipped", *DEAR)


class WithMetricsState(NamedTuple):
    steps: jax.Array  # how many have been measured, int32
    metrics: dict[str, jax.Array]  # by name, of the last step; () float or int32
    inner_state: Any  # the inner transformation's


@transformation
def with_metrics(
    inner: Any,
    of: str | Sequence[str] | None = None,
    per_group: bool = False,
    decay: Scalar = 0.99,
    *,
    axis_name: AxisNames = None,
):
    """Keep in the state what a logger wants to know of each step.

        state = tx.init(params)
        params, state = tx.step(grads, state, params)
        gradtx.metrics(state)  # a dict from names to numbers

    They are

    - `learning_rate`: of this step, from a number, a schedule or `inject_hyperparams`;
      `<group>/learning_rate` where groups differ.
    - `grad_norm`: of the updates as the first `clip_by_global_norm` of the chain takes
      them, which has that number already: nothing is read for it. Without a clip, of
      the gradients as they come in: one more read, 4 bytes a parameter in float32.
    - `clipped_grad_norm`: the same behind the clip.
    - `clip_fraction`: in which share of the last 1 / (1 - decay) steps the clip bit.
    - `skipped`: how many steps a wrapper inside has left out, `apply_if_finite`, say.
    - `update_norm`, `param_norm`, and `update_ratio`, the first over the second: of
      the updates as they are applied, the parameters as they were before. These are
      not free. With `param_norm` a step of `adamw` behind a clip moves 48 bytes a
      parameter instead of 44; with `update_norm` 64, and 4 are stored in between, since
      XLA cannot add up what it writes in one go; with all 68.

    What leaves out steps or gathers them (`apply_if_finite`, `MultiSteps`) goes around
    it, `MultiSteps(with_metrics(chain(clip, opt)), 4)`: inside of it a clip is in a
    branch, out of sight, and a micro-batch is no step. Norms are sums of squares as
    they are: of entries over 1e19 infinite, of those below 1e-19 of 0. That of a clip
    is right to a thousandth down to 1/4000 of the limit, 0 below 1e-5 of it.

    State: a scalar for each metric, one int32, and the inner state.

    Args:
      inner: the transformation to measure.
      of: names of metrics, or "all". By default those that are there and free:
        `learning_rate`, `grad_norm`, with a clip `clipped_grad_norm` and
        `clip_fraction`, and `skipped`.
      per_group: whether norms are also kept for each group of `groups` or `partition`
        in inner, as `<group>/grad_norm`.
      decay: of the average behind `clip_fraction`, in [0, 1).
      axis_name: mesh axes over which leaves are split, see `clip_by_global_norm`; by
        default those of the clip.

    Raises:
      ValueError: a name that is none, or of something that is not in inner or out of
        sight there; per_group without groups; decay out of range; gradients that
        differ along an axis that is not named; no params for `param_norm`.
      TypeError: if inner is not a transformation.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.chain(gradtx.clip_by_global_norm(2.5), gradtx.sgd(0.5))
      >>> tx = gradtx.with_metrics(tx)
      >>> params = jnp.array([1.0, 2.0])
      >>> params, state = tx.step(jnp.array([3.0, 4.0]), tx.init(params), params)
      >>> found = gradtx.metrics(state)
      >>> found["learning_rate"], found["grad_norm"], found["clipped_grad_norm"]
      (0.5, 5.0, 2.5)
    """
    tx = inner_of("with_metrics: inner", inner)
    check.decay("decay", decay)
    check_axis_name(axis_name)
    plan, looking = plan_of(tx.update), Looking(tx)
    clips = looking.clips if plan is None else plan.clips
    asked = _asked(of, tx, clips)
    if axis_name is None:
        axis_name = _axes_of_clip(tx) if clips else None
    sums = GroupSums(tx, per_group, axis_name)
    of_params = bool({"param_norm", "update_ratio"} & {*asked})
    of_updates = bool({"update_norm", "update_ratio"} & {*asked})

    def kept(inner_state: Any) -> dict[str, jax.Array]:
        """What the metrics are before the first step."""
        found: dict[str, jax.Array] = {}
        for name in asked:
            if name == RATE:
                rates = learning_rates(tx, inner_state)
                if not rates and of not in (None, "all"):
                    raise failure(f"there is no learning rate in {tx!r:.60}.")
                found |= {n: jnp.array(x) for n, x in rates.items()}
            elif name == "skipped":
                if counts_any(inner_state):
                    found[name] = jnp.zeros([], jnp.int32)
                elif of not in (None, "all"):
                    raise failure(
                        f"nothing in {tx!r:.60} counts steps that it leaves out. What "
                        f"is around with_metrics gradtx.metrics(state) finds itself."
                    )
            else:
                groups = () if name in CLIPS else sums.names
                found |= {_name(g, name): as_float(0) for g in (WHOLE, *groups)}
        return found

    def init(params):
        inner_state = tx.init(params)
        return WithMetricsState(
            jnp.zeros([], jnp.int32), kept(inner_state), inner_state
        )

    def of_grads(clip: Any, updates: Any, like: Any) -> dict[str, jax.Array]:
        """The norms of the gradients, from what the clip knows if there is one."""
        if "grad_norm" not in asked and clip is None:
            return {}
        if clip is None:
            squares = sums.of(apart(updates), like)
            return {_name(g, "grad_norm"): root(x) for g, x in squares.items()}
        squares = {}
        if sums.names and "grad_norm" in asked:  # XLA finds that these sums are there
            squares = sums.of(updates, like, clip.scale)
        sizes = {group: root(x) for group, x in squares.items()} | {WHOLE: clip.size}
        found = {_name(g, "grad_norm"): x / clip.scale for g, x in sizes.items()}
        limit = jnp.asarray(clip.limit, clip.size.dtype)
        found["clipped_grad_norm"] = jnp.minimum(found["grad_norm"], limit)
        found["bit"] = as_float(clip.factor < 1)
        return found

    def of_steps(moved: Any, before: Any) -> dict[str, jax.Array]:
        """The norms of updates and parameters, as far as they are asked for."""
        found = {}
        for group in (WHOLE, *sums.names):
            move = None if moved is None else root(moved[group])
            size = None if before is None else root(before[group])
            norms = {"update_norm": move, "param_norm": size}
            if move is not None and size is not None:
                norms["update_ratio"] = divide(move, size, 0)
            found |= {_name(group, name): x for name, x in norms.items()}
        return found

    def after(state: Any, inner_state: Any, found: dict[str, Any]) -> WithMetricsState:
        """The new state."""
        steps, old = safe_increment(state.steps), state.metrics
        found = found | learning_rates(tx, inner_state)
        if "clip_fraction" in old:
            share = (1 - decay) / one_minus_power(decay, steps)
            before = old["clip_fraction"]
            found["clip_fraction"] = before + share * (found["bit"] - before)
        if "skipped" in old:
            found["skipped"] = counted(old["skipped"], state.inner_state, inner_state)
        # Copies: a rate is in the inner state, too, and both may be donated.
        new = {n: jnp.array(found[n], x.dtype) for n, x in old.items()}
        return WithMetricsState(steps, new, inner_state)

    if plan is not None and not (of_updates or of_params):

        def prepare(updates, state, params):
            check_state(state, WithMetricsState)
            like = updates if params is None else params
            inputs, rebuild = plan.prepare(updates, state.inner_state, params)
            found = of_grads(inputs[0].clip if clips else None, updates, like)
            return inputs, lambda new: after(state, rebuild(new), found)

        return init, updating(Plan(plan.rules, prepare, reads_updates=True))

    def run(updates, state, params, extra, apply):
        check_state(state, WithMetricsState)
        like, before = updates if params is None else params, None
        if of_params:
            need_params(params)
            before = sums.of(params, params)
        at_once = apply and not of_updates
        new, inner_state, clip, seen = looking(
            updates, state.inner_state, params, extra, apply=at_once
        )
        moved = None
        if of_updates:
            moved = sums.of(new, like)
            new = stored(new, moved[WHOLE])
        if before is not None:
            new = gated(new, params if at_once else updates, before[WHOLE])
        if apply and not at_once:
            new = apply_updates(params, new)
        found = of_grads(clip, seen, like) | of_steps(moved, before)
        return new, after(state, inner_state, found)

    def update(updates, state, params=None, **extra):
        return run(updates, state, params, extra, False)

    def step(updates, state, params, **extra):
        return run(updates, state, params, extra, True)

    return init, update, step


def _name(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name


def _asked(of: Any, tx: Any, clips: bool) -> tuple[str, ...]:
    """The names that are asked for and can be had.

    Raises:
      ValueError: a name that is none, or of a clip that is not there or hidden.
    """
    if of is None or of == "all":
        names = NAMES if of == "all" else [n for n in NAMES if n not in DEAR]
        return tuple(name for name in names if clips or name not in CLIPS)
    names = (of,) if isinstance(of, str) else tuple(of)
    for name in names:
        check.choice("of", name, NAMES)
        if name in CLIPS and not clips:
            raise ValueError(f"with_metrics: of={name!r} {_no_clip(tx)}")
    return names


def _no_clip(tx: Any) -> str:
    """Why a clip cannot be seen, and what to do."""
    for x in inside(tx):
        if x.call is not None and x.call.factory is clip_by_global_norm:
            return (
                f"is of a clip that {tx!r:.60} has out of sight, in a branch or for a "
                f"part of the leaves. Put with_metrics inside, around the chain that "
                f"begins with {x!r}."
            )
    return (
        f"needs a clip, and there is no clip_by_global_norm in {tx!r:.60}: "
        f"with_metrics(chain(clip_by_global_norm(1.0), ...))."
    )


def _axes_of_clip(tx: Any) -> AxisNames:
    calls = [x.call for x in inside(tx) if x.call is not None]
    call = next(call for call in calls if call.factory is clip_by_global_norm)
    return call.bound.arguments["axis_name"]
