"""L-BFGS: Newton's method with an inverse Hessian made from the last few steps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.axes import need_whole
from gradtx.core.compose import chain
from gradtx.core.leafwise import slot_dtype
from gradtx.core.numerics import divide, safe_increment
from gradtx.core.once import compiled_once
from gradtx.core.plan import check_shapes, check_state, need_params
from gradtx.core.transformation import transformation
from gradtx.core.trees import (
    absent,
    check_inexact,
    is_abstract,
    leaves_like,
    leaves_of,
    map_present,
)
from gradtx.core.types import Params, ScalarOrSchedule, Updates
from gradtx.linesearch.objective import scalar_dtype
from gradtx.linesearch.zoom import scale_by_zoom_linesearch
from gradtx.transforms.scale import scale, scale_by_learning_rate
from gradtx.tree import arithmetic, norms


class ScaleByLBFGSState(NamedTuple):
    # Steps taken, int32; with as_pytorch the first, and those whose pair was kept.
    count: jax.Array
    params: Params  # those of the last step, float32 at least
    updates: Updates  # the gradient of the last step, float32 at least
    # The last differences of parameters and of gradients: like params, with a leading
    # axis of memory_size. Step k is in slot (k - 1) modulo memory_size.
    diff_params_memory: Params
    diff_updates_memory: Updates
    weights_memory: jax.Array  # 1 / s.y, (memory_size,); 0 where a slot is empty


class Memory(NamedTuple):
    """The pairs of the last steps, the newest in `slot`, the one before it below."""

    s: Params
    y: Updates
    weights: jax.Array
    slot: jax.Array

    def multiply(self, g: Any, gamma: Any = None, default: Any = 1.0) -> Any:
        """H g, in two loops (algorithm 7.4).

        Args:
          g: the gradient.
          gamma: the multiple of the identity that H begins from; if `None`, that of
            the newest pair there is, and the default without any.
        """
        size = len(self.weights)

        def down(j: Any, carry: Any) -> Any:  # from the newest pair to the oldest
            q, alphas, newest = carry
            i = (self.slot - j) % size
            y, weight = _pick(self.y, i), self.weights[i]
            alpha = weight * _dot(q, _pick(self.s, i))
            q = arithmetic.add_scale(q, -alpha, y)
            if gamma is None:
                bend = weight * _dot(y, y)  # |y|^2 / s.y
                newest = jnp.where(newest > 0, newest, bend).astype(newest.dtype)
            return q, alphas.at[i].set(alpha.astype(alphas.dtype)), newest

        def up(j: Any, r: Any) -> Any:  # and back
            i = (self.slot + 1 + j) % size
            beta = self.weights[i] * _dot(r, _pick(self.y, i))
            return arithmetic.add_scale(r, alphas[i] - beta, _pick(self.s, i))

        none = jnp.zeros_like(self.weights), jnp.zeros_like(self.weights[0])
        q, alphas, bend = lax.fori_loop(0, size, down, (g, *none))
        if gamma is None:
            gamma = jnp.where(bend > 0, 1 / jnp.where(bend > 0, bend, 1), default)
        return lax.fori_loop(0, size, up, arithmetic.scale(gamma, q))


def _dot(x: Any, y: Any) -> jax.Array:
    """The inner product as of real vectors."""
    return jnp.real(arithmetic.vdot(x, y))


def _pick(memory: Any, i: Any) -> Any:
    pick = lax.dynamic_index_in_dim
    return jax.tree.map(lambda x: pick(x, i, 0, keepdims=False), memory)


def _stored(tree: Any, old: Any, updates: Any) -> Any:
    """A tree in the dtypes of the state; where there is no update, as it was."""
    leaves, treedef = leaves_of(updates)
    rows = zip(leaves, leaves_like(treedef, tree, "params", updates), strict=True)
    before = leaves_like(treedef, old, "the state", updates)
    return treedef.unflatten(
        x if absent(u) else jnp.asarray(new, x.dtype)
        for (u, new), x in zip(rows, before, strict=True)
    )


def _there(updates: Any, tree: Any) -> Any:
    """The leaves for which there are updates; None for the others."""
    leaves, treedef = leaves_of(updates)
    pairs = zip(leaves, leaves_of(tree)[0], strict=True)
    return treedef.unflatten(None if absent(u) else x for u, x in pairs)


def _first_length(updates: Any, as_pytorch: bool) -> jax.Array:
    """The norm of the gradient that bounds the first step."""
    if not as_pytorch:
        return norms.norm(updates, axis_name=None)
    present = [jnp.asarray(u) for u in leaves_of(updates)[0] if not absent(u)]
    parts = [(u.real, u.imag) if jnp.iscomplexobj(u) else u for u in present]
    return norms.norm(parts, 1, axis_name=None)


@transformation
def scale_by_lbfgs(
    memory_size: int = 10,
    scale_init_precond: bool = True,
    *,
    as_pytorch: bool = False,
):
    """Multiply the gradient by an inverse Hessian made from the last steps.

        s_k = p_{k+1} - p_k,   y_k = g_{k+1} - g_k,   rho_k = 1 / s_k.y_k
        H_{k+1} = V_k' H_k V_k + rho_k s_k s_k',   V_k = I - rho_k y_k s_k'
        u_k = H_k g_k,   H_{k-m} = gamma_k I,   gamma_k = s_{k-1}.y_{k-1} / |y_{k-1}|^2

    over the last m = memory_size steps: the smallest change of H that explains each
    observed change of the gradient. H is never formed; two loops over the memory, each
    of 2 m vector operations, give its product with the gradient.

    A pair whose s.y is not above its rounding error (the function curves down, or a
    NaN has come by) is left out, its slot stays empty: H is always positive definite,
    so that -u leads down. After a step that moved nothing the memory is emptied, and
    the next direction is the gradient's. As long as the memory is empty, gamma is
    min(1, 1/|g|): the first step is no longer than 1.

    It takes no notice of noise: gradients of different minibatches differ by more than
    by curvature, and H then is of the noise. Use it with all data at once. For complex
    parameters give the conjugate of what `jax.grad` gives, as for any other optimizer.

    State: 2 memory_size + 2 arrays per parameter, one int32 and memory_size numbers.

    Args:
      memory_size: how many steps are remembered, a whole number from 1; 3 to 20 are
        common.
      scale_init_precond: whether gamma is as above, or else 1: then, with a memory for
        all steps, H_k is that of the full BFGS method from H_0 = I (eq. 6.17).
      as_pytorch: whether to do as torch.optim.LBFGS in what the papers leave open:
        gamma is min(1, 1/|g|_1) at the first step, of the sum of absolute values, and
        1 at later ones with an empty memory; a pair is kept if s.y > 1e-10, in units of
        the function; one that is not leaves its place to the next; nothing empties the
        memory.

    Raises:
      ValueError: a memory_size below 1 or not whole; in `update`, no params.

    Source: Nocedal & Wright, Numerical optimization (2006), algorithm 7.4, eq. 7.18 to
    7.20; Liu & Nocedal, On the limited memory BFGS method (1989). gamma of an empty
    memory and the two safeguards are not there.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.scale_by_lbfgs()
      >>> p, curvature = jnp.array([2.0, 2.0]), jnp.array([4.0, 0.5])
      >>> state = tx.init(p)
      >>> for _ in range(8):
      ...     updates, state = tx.update(curvature * p, state, p)
      ...     p = p - updates
      >>> bool(jnp.max(jnp.abs(p)) < 1e-4)
      True
    """
    check.count("memory_size", memory_size, 1)

    def init(params):
        def zeros(p):  # lies on devices as the parameter does
            return jnp.zeros_like(p, slot_dtype(p))

        def memory(p):
            return jnp.broadcast_to(zeros(p), (memory_size, *jnp.shape(p)))

        def start(p):
            return zeros(p) if is_abstract(p) else jnp.array(p, slot_dtype(p))

        return ScaleByLBFGSState(
            count=jnp.zeros([], jnp.int32),
            params=map_present(start, params),
            updates=map_present(zeros, params),
            diff_params_memory=map_present(memory, params),
            diff_updates_memory=map_present(memory, params),
            weights_memory=jnp.zeros([memory_size], scalar_dtype(params)),
        )

    @jax.jit  # once: without an outer jit each step would compile its loops
    def advance(updates, state, params, size):
        g = _stored(updates, state.updates, updates)
        p = _stored(params, state.params, updates)
        s, y = arithmetic.sub(p, state.params), arithmetic.sub(g, state.updates)
        sy, length, rise = _dot(s, y), norms.norm(s), norms.norm(y)
        rounding = jnp.finfo(sy.dtype).eps * length * rise
        taken = state.count > 0
        curved = taken & (sy > (1e-10 if as_pytorch else rounding)) & jnp.isfinite(sy)
        stood = taken & (length == 0)

        count, slot = safe_increment(state.count), (state.count - 1) % memory_size
        weight = jnp.where(curved, divide(jnp.ones_like(sy), sy, 0), 0)
        weights = state.weights_memory
        if as_pytorch:
            weight = jnp.where(curved, weight, weights[slot])
            count = jnp.where(curved | ~taken, count, state.count)
        else:
            weights = jnp.where(stood, 0, weights)
        weights = weights.at[slot].set(weight.astype(weights.dtype))

        def remember(memory, new):
            # Zeros for a pair left out, not its numbers: 0 times a NaN is one.
            rest = memory[slot] if as_pytorch else jnp.zeros_like(new)
            new = jnp.where(curved, new, rest)
            return lax.dynamic_update_index_in_dim(memory, new, slot, 0)

        memory = Memory(
            jax.tree.map(remember, state.diff_params_memory, s),
            jax.tree.map(remember, state.diff_updates_memory, y),
            weights,
            (count - 2) % memory_size if as_pytorch else slot,
        )
        default = (1 / jnp.maximum(size, 1)).astype(weights.dtype)
        if as_pytorch:
            default = jnp.where(taken, 1, default)
        gamma = None if scale_init_precond else 1.0
        direction = memory.multiply(_there(updates, g), gamma, default)
        return direction, ScaleByLBFGSState(
            count=count,
            # Copies: no buffer of the state is the caller's.
            params=map_present(jnp.copy, p),
            updates=map_present(jnp.copy, g),
            diff_params_memory=memory.s,
            diff_updates_memory=memory.y,
            weights_memory=weights,
        )

    @compiled_once
    def update(updates, state, params=None, **extra):
        need_params(params)
        need_whole()
        check_state(state, ScaleByLBFGSState)
        check_inexact(leaves_of(updates)[0], updates)
        check_shapes(updates, state.updates)
        size = _first_length(updates, as_pytorch)
        return advance(_there(updates, updates), state, params, size)

    return init, update


@transformation
def lbfgs(
    learning_rate: ScalarOrSchedule | None = None,
    memory_size: int = 10,
    scale_init_precond: bool = True,
    linesearch: Any = scale_by_zoom_linesearch(  # noqa: B008  a value, never changed
        max_linesearch_steps=20, initial_guess_strategy="one"
    ),
    *,
    as_pytorch: bool = False,
):
    """L-BFGS: `scale_by_lbfgs`, the direction down, then a line search.

        update(grads, state, params, value=, grad=, value_fn=, **extra)

    Full batch, deterministic functions only: the memory and the line search both take
    differences of values and gradients for curvature. Near a minimum it converges
    faster than any first-order method; a step takes one evaluation in most cases, see
    `value_and_grad_from_state`.

    State: 2 memory_size + 2 arrays per parameter, and those of the line search (one
    more).

    Args:
      learning_rate: what the direction is multiplied by before the line search, a
        finite number or a schedule; `None` is 1.
      memory_size, scale_init_precond, as_pytorch: see `scale_by_lbfgs`.
        `lbfgs(1.0, 100, linesearch=None, as_pytorch=True)` takes the steps of
        torch.optim.LBFGS's defaults, one where its `step` takes max_iter.
      linesearch: the transformation that finds the step, or `None` for none:
        then each step has the length that the memory suggests, and may lead up.

    Raises:
      ValueError: a number out of range; in `update`, an argument that is missing.
      TypeError: if linesearch is not a transformation.

    Source: Nocedal & Wright, Numerical optimization (2006), algorithm 7.5.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> def rosenbrock(p):
      ...     return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
      >>> tx = gradtx.lbfgs()
      >>> value_and_grad = gradtx.value_and_grad_from_state(rosenbrock)
      >>> @jax.jit
      ... def step(p, state):
      ...     value, grad = value_and_grad(p, state=state)
      ...     return tx.step(
      ...         grad, state, p, value=value, grad=grad, value_fn=rosenbrock
      ...     )
      >>> p = jnp.array([-1.2, 1.0])
      >>> state = tx.init(p)
      >>> for _ in range(40):
      ...     p, state = step(p, state)
      >>> bool(jnp.max(jnp.abs(p - 1)) < 1e-3)
      True
    """
    direction = scale_by_lbfgs(memory_size, scale_init_precond, as_pytorch=as_pytorch)
    return downhill(direction, learning_rate, linesearch)


def downhill(
    direction: Any, learning_rate: ScalarOrSchedule | None, linesearch: Any
) -> Any:
    """The direction, turned down, and how far to go."""
    if learning_rate is None:
        down = scale(-1.0)
    else:
        down = scale_by_learning_rate(learning_rate)
    return chain(direction, down, *([] if linesearch is None else [linesearch]))
