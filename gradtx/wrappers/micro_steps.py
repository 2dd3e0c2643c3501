"""What `MultiSteps` builds: its state, and a transformation that knows the state."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec

import jax
import jax.numpy as jnp

from gradtx.core import check
from gradtx.core.axes import AxisName, mean_across
from gradtx.core.call import Call
from gradtx.core.extra import need_extra
from gradtx.core.numerics import as_float, safe_increment
from gradtx.core.pair import GradientTransformationExtraArgs
from gradtx.core.plan import check_state, lift, need_params
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.trees import absent, at_work, leaves_of
from gradtx.core.types import Updates
from gradtx.wrappers.inner import one_of

P = ParamSpec("P")

# The sum of no gradients: minus zero, which changes nothing that is added to it. A sum
# of gradients that are zero is plus zero.
NOTHING = -0.0


class MultiStepsState(NamedTuple):
    mini_step: jax.Array  # micro-batches in the accumulator, 0 after a step, int32
    gradient_step: jax.Array  # steps of the inner transformation so far, int32
    inner_opt_state: Any  # the inner transformation's
    # Sum of the gradients, shaped like params, in accumulator_dtype. While mini_step
    # is 0 what the last step was taken with: it is begun anew, not cleared.
    acc_grads: Updates
    skip_state: Any = ()  # what should_skip_update_fn said of the last micro-batch
    # With weighted=True the sum of the weights, float32 at least, begun anew likewise.
    weight: Any = ()


class MultiStepsTransformation(GradientTransformationExtraArgs):
    """What `MultiSteps` builds: a transformation that knows when it has moved."""

    def gradient_transformation(self) -> GradientTransformationExtraArgs:
        """Itself: it goes wherever a transformation does."""
        return self

    @property
    def inner_opt(self) -> GradientTransformationExtraArgs:
        """The transformation that takes the steps."""
        return inner_of("MultiSteps: opt", self._arguments["opt"])

    @property
    def _arguments(self) -> dict[str, Any]:
        assert self.call is not None
        return self.call.bound.arguments

    def has_updated(self, state: MultiStepsState) -> jax.Array:
        """Whether the last micro-batch completed a step and moved the parameters."""
        moved = (state.mini_step == 0) & (state.gradient_step > 0)
        skip = state.skip_state
        if isinstance(skip, dict) and "should_skip" in skip:
            # One left out right after a step has moved nothing either.
            moved &= ~jnp.asarray(skip["should_skip"], bool)
        if self._arguments["weighted"]:
            moved &= state.weight != 0  # a cycle without weight has moved nothing
        return moved

    def flush(
        self, state: MultiStepsState, params: Any, **extra: Any
    ) -> tuple[Any, MultiStepsState]:
        """Take the step of a cycle that the data has ended before its time.

            u = opt(a_i / i),   i < k micro-batches gathered;   none without any

        The mean is over the micro-batches that there are, by their weights if they have
        some; for a sum there is no division. Called after the last batch, be it in
        `jit`. Where nothing has been gathered, params and state stay as they are.

        A leaf without a gradient in any of these micro-batches stays; `opt` sees zeros.

        Args:
          state: of this transformation. In a chain it is the member's part of the
            state, and the members around it do not run.
          params: what the steps are taken on.
          **extra: extra arguments for `opt`.

        Returns:
          `(params, state)`, as `step` does.

        Raises:
          TypeError: if the state is no MultiStepsState.
          ValueError: if params is None.
        """
        opt, weighted = self.inner_opt, self._arguments["weighted"]
        with at_work("MultiSteps.flush"):
            check_state(state, MultiStepsState)
            need_params(params)
            some = state.mini_step > 0
            size = state.weight if weighted else as_float(state.mini_step)
            if weighted:
                some &= size != 0
            share = jnp.where(some, 1 / jnp.where(some, size, 1), 1)
            if not self._arguments["use_grad_mean"]:
                share = jnp.ones_like(share)
            mean, _ = _scaled(state.acc_grads, scalars=(share,))

            def move(mean: Any, inner: Any, params: Any, **extra: Any) -> Any:
                new, inner = opt.step(mean, inner, params, **extra)
                return _where_gathered(state.acc_grads, new, params), inner

            params, inner = one_of(
                some, move, _stay, mean, state.inner_opt_state, params, **extra
            )
        done = safe_increment(state.gradient_step)
        skip = state.skip_state
        if isinstance(skip, dict) and "should_skip" in skip:
            # It was said of a micro-batch, and what has moved now came before that.
            said = skip["should_skip"]
            skip = {**skip, "should_skip": jnp.where(some, jnp.zeros_like(said), said)}
        return params, state._replace(
            mini_step=jnp.zeros_like(state.mini_step),
            gradient_step=jnp.where(some, done, state.gradient_step),
            inner_opt_state=inner,
            skip_state=skip,
        )


jax.tree_util.register_static(MultiStepsTransformation)

_scaled = lift(lambda g, share: share * g)


def _stay(mean: Any, inner: Any, params: Any) -> Any:
    return params, inner


def _where_gathered(acc: Any, new: Any, old: Any) -> Any:
    """The new leaves, the old ones where no micro-batch had a gradient."""
    sums, treedef = leaves_of(acc)
    rows = zip(sums, leaves_of(new)[0], leaves_of(old)[0], strict=True)
    return treedef.unflatten(
        x if a is None else jnp.where(gathered([a]), x, y) for a, x, y in rows
    )


def with_methods(
    factory: Callable[P, tuple[Any, ...]],
) -> Callable[P, MultiStepsTransformation]:
    """As `transformation`, building a `MultiStepsTransformation`."""
    plain = transformation(factory)

    @functools.wraps(factory)
    def build(*args: P.args, **kwargs: P.kwargs) -> MultiStepsTransformation:
        pair = plain(*args, **kwargs)
        tx = MultiStepsTransformation(*pair)
        tx.call, tx._step = Call(build, args, kwargs), pair._step
        return tx

    build.__dict__["is_transformation"] = True
    return build


def weight_of(extra: dict[str, Any], weight_axes: AxisName) -> tuple[Any, Any]:
    """The weight, taken out of the extra arguments, and its mean over devices."""
    weight = extra.pop("weight", None)
    need_extra(weight=weight)
    check.nonnegative("weight", weight)
    weight = as_float(weight)
    hint = (
        f"weight_axes={weight_axes!r} does not name. Name the axis if devices have "
        f"tokens of their own, or give weight_axes=() to have each go by itself."
    )
    return weight, mean_across("weight", weight, weight_axes, hint)


def given_of(updates: Any, acc: Any) -> Any:
    """What was gathered, without the leaves that are missing in this micro-batch."""
    leaves, treedef = leaves_of(updates)
    pairs = zip(leaves, leaves_of(acc)[0], strict=True)
    return treedef.unflatten(None if absent(g) else a for g, a in pairs)


def missing_of(given: Any, mean: Any) -> list[jax.Array]:
    """What was gathered for leaves that are missing in the last micro-batch."""
    pairs = zip(leaves_of(given)[0], leaves_of(mean)[0], strict=True)
    return [a for g, a in pairs if g is None and a is not None]


def gathered(late: list[jax.Array]) -> jax.Array:
    """Whether any micro-batch has had a gradient for these leaves."""
    found = jnp.zeros([], bool)
    for a in late:
        sign = jnp.signbit(a.real)  # a real factor may turn the sign of a complex zero
        found |= jnp.any((a != 0) if jnp.iscomplexobj(a) else (a != 0) | ~sign)
    return found


def in_dtypes(new: Any, old: Any) -> Any:
    """What a rule said, in the dtypes of the state: a state does not change its."""
    return jax.tree.map(lambda x, y: jnp.asarray(x, jnp.result_type(y)), new, old)
