"""What Optax spells differently: its names for gradtx's types, its defaults."""

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax

from gradtx import assignment, losses, tree as trees
from gradtx.core.compose import PartitionState
from gradtx.core.masking import MaskOrFn
from gradtx.core.numerics import abs_sq, safe_increment
from gradtx.core.pair import GradientTransformationExtraArgs
from gradtx.core.types import EmptyState, Params, State, Updates
from gradtx.linesearch import zoom
from gradtx.optimizers import lbfgs as quasi_newton, optimistic_adam as optimistic
from gradtx.perturbations import MultiNormal
from gradtx.transforms.decay import AddDecayedWeightsState
from gradtx.wrappers import accumulate
from gradtx.wrappers.micro_steps import MultiStepsTransformation
from gradtx.wrappers.skip_rules import ShouldSkipUpdateFunction

OptState = State
TransformInitFn = Callable[[Params], State]
TransformUpdateFn = Callable[..., tuple[Updates, State]]
tree_l1_norm = functools.partial(trees.norm, ord=1)
tree_linf_norm = functools.partial(trees.norm, ord="inf")


class _Asked(type):
    """The class of a class that asks a factory, and knows what it builds."""

    def __call__(cls, *args: Any, **kwargs: Any) -> MultiStepsTransformation:
        return accumulate.MultiSteps(*args, **kwargs)

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, MultiStepsTransformation)


class MultiSteps(MultiStepsTransformation, metaclass=_Asked):
    """As `gradtx.MultiSteps`, for annotations and `isinstance`: a class in Optax."""

    __signature__ = inspect.signature(accumulate.MultiSteps)


def init_empty_state(params: Params) -> EmptyState:
    """The state of a transformation that has none."""
    del params
    return EmptyState()


def global_norm(updates: Updates) -> jax.Array:
    """As `gradtx.global_norm`, whose argument is called `tree`."""
    return trees.norm(updates)


def get(tree: Any, key: Any, default: Any = None, filtering: Any = None) -> Any:
    """As `gradtx.tree.get`, which raises where there is none and no default."""
    return trees.get(tree, key, default, filtering)


def multiclass_hinge_loss(scores: Any, labels: Any) -> jax.Array:
    """As `gradtx.multiclass_hinge_loss(over="max")`: the largest margin alone."""
    return losses.multiclass_hinge_loss(scores, labels, over="max")


Factory = TypeVar("Factory", bound=Callable[..., Any])


def _with_defaults(factory: Factory, **defaults: Any) -> Factory:
    """The factory with other defaults of some arguments."""
    signature = inspect.signature(factory)
    parameters = [
        p.replace(default=defaults.get(name, p.default))
        for name, p in signature.parameters.items()
    ]

    @functools.wraps(factory)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.arguments.update({**defaults, **bound.arguments})
        return factory(*bound.args, **bound.kwargs)

    vars(call)["__signature__"] = signature.replace(parameters=parameters)
    return cast(Factory, call)


# The steps of Optax's line search, so that a program has the same losses.
scale_by_zoom_linesearch = _with_defaults(
    zoom.scale_by_zoom_linesearch, interpolation="values"
)
lbfgs = _with_defaults(
    quasi_newton.lbfgs,
    linesearch=scale_by_zoom_linesearch(20, initial_guess_strategy="one"),
)


def optimistic_adam(*args: Any, **kwargs: Any) -> GradientTransformationExtraArgs:
    """As `gradtx.optimistic_adam`, which Optax is about to drop, and says so."""
    text = "use `optimistic_adam_v2` instead of optimistic_adam, as Optax says."
    warnings.warn(text, DeprecationWarning, stacklevel=2)
    return optimistic.optimistic_adam(*args, **kwargs)


def canonicalize_dtype(dtype: Any) -> Any:
    """The dtype that JAX would use; `None` stays."""
    return None if dtype is None else jax.dtypes.canonicalize_dtype(dtype)


def canonicalize_key(key_or_seed: Any) -> jax.Array:
    """A key from a key or a seed."""
    if isinstance(key_or_seed, int):
        return jax.random.key(key_or_seed)
    return key_or_seed


# By path, or by a name wherever it is asked for.
ADAPTED: dict[str, Any] = {
    "AdaptiveGradClipState": EmptyState,
    "AddDecayedWeightsState": EmptyState,  # of a number; for a schedule see below
    "ClipByGlobalNormState": EmptyState,
    "ClipState": EmptyState,
    "MaskOrFn": MaskOrFn,
    "MultiSteps": MultiSteps,
    "MultiTransformState": PartitionState,
    "OptState": OptState,
    "ScaleByTrustRatioState": EmptyState,
    "ScaleState": EmptyState,
    "ShouldSkipUpdateFunction": ShouldSkipUpdateFunction,
    "TransformInitFn": TransformInitFn,
    "TransformUpdateExtraArgsFn": TransformUpdateFn,
    "TransformUpdateFn": TransformUpdateFn,
    "assignment.base_hungarian_algorithm": assignment.hungarian_algorithm,
    "global_norm": global_norm,
    "init_empty_state": init_empty_state,
    "lbfgs": lbfgs,
    "multiclass_hinge_loss": multiclass_hinge_loss,
    "safe_int32_increment": safe_increment,
    "optimistic_adam": functools.wraps(optimistic.optimistic_adam)(optimistic_adam),
    "scale_by_zoom_linesearch": scale_by_zoom_linesearch,
    "tree.get": get,
    "tree_map_params": trees.map_params,
    "tree_utils.NamedTupleKey": trees.NamedTupleKey,
    "tree_utils.tree_add_scalar_mul": trees.add_scale,
    "tree_utils.tree_l1_norm": tree_l1_norm,
    "tree_utils.tree_l2_norm": trees.norm,
    "tree_utils.tree_linf_norm": tree_linf_norm,
    "tree_utils.tree_scalar_mul": trees.scale,
}

# What programs take from `optax._src` that is public nowhere.
PRIVATE: dict[str, Any] = {
    "ArrayTree": Any,
    "FLAG_CURVATURE_COND_NOT_SATISFIED": zoom.STEEP,
    "FLAG_INTERVAL_NOT_FOUND": zoom.LONGEST,
    "FLAG_INTERVAL_TOO_SMALL": zoom.SHORT,
    "FLAG_NOT_A_DESCENT_DIRECTION": zoom.NOT_DOWN,
    "FLAG_NO_STEPSIZE_FOUND": zoom.NOT_FOUND,
    "MultiNormalDiagFromLogScale": MultiNormal,
    "NO_PARAMS_MSG": "This transformation needs params: call "
    "update(updates, state, params).",
    "PRNGKey": jax.Array,
    "PyTree": Any,
    "ScheduleState": Any,
    "Shape": tuple[int, ...],
    "WeightDecaySchedule": AddDecayedWeightsState,
    "abs_sq": abs_sq,
    "canonicalize_dtype": canonicalize_dtype,
    "canonicalize_key": canonicalize_key,
    "cast_tree": trees.cast,
}
