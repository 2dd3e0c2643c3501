"""Sample values, and wrong ones, by the name of a parameter: data."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gradtx import tree
from gradtx.core.numerics import abs_sq
from gradtx.core.trees import map_present
from gradtx.matrix.axes import MuonDimensionNumbers
from gradtx.optimizers.sgd import sgd
from gradtx.projections.box import projection_linf_ball
from gradtx.wrappers.lookahead import LookaheadParams
from gradtx.wrappers.monitor import measure_with_ema


def falling(count: Any) -> jax.Array:
    """A schedule: 0.1, 0.05, 0.033, ..."""
    return 0.1 / (1 + jnp.asarray(count, jnp.float32))


def is_matrix(tree: Any) -> Any:
    """A mask: the leaves of two axes."""
    return jax.tree.map(lambda x: np.ndim(x) == 2, tree)


def rank(tree: Any) -> Any:
    """Labels: "matrix" or "other"."""
    return jax.tree.map(lambda x: "matrix" if np.ndim(x) == 2 else "other", tree)


def one_matrix(tree: Any) -> Any:
    """Every leaf as a matrix: its last axis is the output, all others are the input."""

    def numbers(x: Any) -> MuonDimensionNumbers:
        axes = tuple(range(np.ndim(x)))
        return MuonDimensionNumbers(axes[:-1], axes[-1:])

    return jax.tree.map(numbers, tree)


def layer_of(path: str, leaf: Any) -> int:
    """The layer of a leaf: its number of dimensions, at most 2."""
    return min(np.ndim(leaf), 2)


def every_other(step: Any) -> Any:
    """A condition: the steps 0, 2, 4, ..."""
    return step % 2 == 0


def halve_tree(updates: Any, params: Any) -> Any:
    return jax.tree.map(lambda g: g / 2, updates)


def halve(g: Any, p: Any) -> Any:
    return g / 2


def bowl(grads: Any, params: Any) -> dict[str, Any]:
    """Extra arguments for a line search: a function that has these gradients.

        f(p) = g.d + |d|^2 + |sum d|^2 / 8 + |d|^4,   d = p - params

    Neither quadratic nor the same in all directions. For complex parameters `jax.grad`
    gives the conjugate of the way up.
    """

    def value_fn(p: Any) -> Any:
        away = tree.sub(p, params)
        along, _ = ravel_pytree(tree.mul(tree.conj(grads), away))
        d, _ = ravel_pytree(away)  # one vector: in a loop each leaf costs time
        square = abs_sq(d).sum()
        return along.sum().real + square + abs_sq(d.sum()) / 8 + square**2

    grad = map_present(jnp.conj, grads)
    return {"value": 0.0, "grad": grad, "value_fn": value_fn}


def bowl_below(updates: Any, params: Any) -> dict[str, Any]:
    """The same for a line search alone, whose updates lead down already."""
    return bowl(map_present(jnp.negative, updates), params)


def curved(grads: Any, params: Any) -> dict[str, Any]:
    """Extra arguments for an estimate of the Hessian: that of `bowl`."""
    return {"obj_fn": bowl(grads, params)["value_fn"]}


def around(grads: Any, params: Any) -> dict[str, Any]:
    """Extra arguments for steps to other parameters: the gradient there.

    It is g + d, d = p - params.
    """

    def grad_fn(p: Any, i: int) -> Any:
        return jax.tree.map(
            lambda g, q, at: g if g is None else g + (q - at),
            *(grads, p, params),
            is_leaf=lambda x: x is None,
        )

    return {"grad_fn": grad_fn}


def two_examples(grads: Any) -> Any:
    """Gradients of two examples for each, along a new first axis."""
    return map_present(
        lambda g: jnp.stack([jnp.asarray(g), -2 * jnp.asarray(g)]), grads
    )


def valued(grads: Any, params: Any) -> dict[str, Any]:
    """Extra arguments for what looks at the loss: always the same."""
    return {"value": 1.0}


def some_value(grads: Any, params: Any) -> dict[str, Any]:
    """The value that a rate is computed from."""
    return {"value": 2.0}


_inner = sgd(0.1, momentum=0.9)

# A parameter's value wherever it is required; under "factory.parameter" the value in
# that factory, given even where there is a default.
VALUES: dict[str, Any] = {
    "adafactor.learning_rate": 0.1,
    "adafactor.min_dim_size_to_factor": 2,
    "adafactor.momentum": 0.9,
    "add_decayed_weights.weight_decay": 0.01,
    "add_noise.key": 0,
    "adv_optimizer": sgd(0.05),
    "apply_every.k": 2,
    "apollo.rank": 1,
    "average_weights.decay": 0.9,
    "base_optimizer": _inner,
    "came.b3": 0.9,
    "came.eps_confidence": 0.01,
    "chain.transforms": (sgd(0.5), _inner),
    "clip_by_history.quantile": 0.3,
    "clip_by_history.warmup": 1,
    "clipping": 0.1,
    "decay": 0.9,
    "differentially_private_aggregate.key": 0,
    # By the heuristic the distance after one step is that of the start: a tie, where
    # the larger one has no derivative.
    "dog.init_step": ("learning_rate", 0.1),
    "eta": 0.01,
    "every_k_schedule": 2,
    "fast_optimizer": _inner,
    "freeze_mask": is_matrix,
    "galore.rank": 1,
    "gamma": 0.55,
    "init_step": ("heuristic", 1e-6),
    "inner": _inner,
    "inner_optimizer": _inner,
    "key": 0,
    "l2_norm_clip": 1.0,
    "learning_rate": 0.1,
    "layerwise_decay.decay": 0.75,
    "layerwise_decay.last": 3,
    "layers": layer_of,
    "loss_scaling.growth_interval": 1,
    "loss_scaling.init_scale": 2.0,
    "mask": is_matrix,
    "max_backtracking_steps": 10,
    "max_consecutive_errors": 3,
    "max_delta": 1.0,
    "max_linesearch_steps": 10,
    "max_norm": 1.0,
    "measure": tree.norm,
    "measure_name": "size",
    "measures": {"size": tree.norm, "average": measure_with_ema(tree.norm, 0.9)},
    "momentum": 0.9,
    # One shape for all leaves: hidden, with steps half as long.
    "mup_scale.base": jax.ShapeDtypeStruct((2, 2), jnp.float32),
    "mup_scale.model": jax.ShapeDtypeStruct((4, 8), jnp.float32),
    "named_chain.transforms": (("halve", sgd(0.5)), ("descend", _inner)),
    "noise_multiplier": 0.5,
    "opt": _inner,
    "optimizer": _inner,
    "param_labels": rank,
    "partition.transforms": {"matrix": _inner, "other": sgd(0.1)},
    "policy": "kahan",
    "projection": projection_linf_ball,
    "reduce_on_plateau.cooldown": 1,
    "reduce_on_plateau.patience": 1,
    "seed": 0,
    "scale_by_apollo.rank": 1,
    "scale_by_came.b3": 0.9,
    "scale_by_came.eps_confidence": 0.01,
    "scale_by_dog.init_step": ("learning_rate", 0.1),
    "scale_by_factored_rms.min_dim_size_to_factor": 2,
    "scale_by_galore.rank": 1,
    "scale_by_muon.weight_dimension_numbers": one_matrix,
    "rules": [("**", sgd(0.1))],
    "sgd.momentum": 0.9,
    "should_transform_fn": every_other,
    "skip_spikes.warmup": 2,
    "slow_step_size": 0.5,
    "stateless.f": halve_tree,
    "stateless_with_tree_map.f": halve,
    "step_size": -0.1,
    "step_size_fn": falling,
    "sync_period": 2,
    "threshold": 1.0,
    "weight_decay": 0.01,
    "with_decay.inner": sgd(falling, momentum=0.9),
    "with_decay.kind": "corrected",
    "with_decay.normalized": is_matrix,
    "with_decay.peak": 0.1,
}

# Parameters that a factory's transformation is used with, from a tree of arrays.
PREPARE: dict[str, Callable[[Any], Any]] = {
    "lookahead": LookaheadParams.init_synced,
}

# Extra arguments that a factory's transformation takes in `update`, from gradients and
# parameters.
EXTRA: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "hutchinson_estimator_diag_hessian": curved,
    "lbfgs": bowl,
    "momo": some_value,
    "momo_adam": some_value,
    "newton": bowl,
    "polyak_sgd": some_value,
    "scale_by_backtracking_linesearch": bowl_below,
    "scale_by_newton_cg": bowl,
    "scale_by_polyak": some_value,
    "reduce_on_plateau": valued,
    "sam": around,
    "scale_by_sophia": curved,
    "skip_spikes": valued,
    "scale_by_zoom_linesearch": bowl_below,
    "sophia": curved,
}

# What a factory's transformation takes for updates, from a tree of gradients.
UPDATES: dict[str, Callable[[Any], Any]] = {
    "differentially_private_aggregate": two_examples,
    "dpsgd": two_examples,
}
