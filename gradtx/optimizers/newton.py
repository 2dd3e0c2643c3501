"""Newton's method: products with the Hessian, solved by conjugate gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradtx.core import check
from gradtx.core.axes import need_whole
from gradtx.core.leafwise import slot_dtype
from gradtx.core.once import compiled_once
from gradtx.core.plan import check_state, need_params
from gradtx.core.transformation import transformation
from gradtx.core.trees import leaves_of
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.linesearch.objective import (
    bound,
    need_extra,
    of_moving,
    scalar_dtype,
)
from gradtx.linesearch.zoom import scale_by_zoom_linesearch
from gradtx.optimizers.lbfgs import downhill
from gradtx.tree import arithmetic, norms


class ScaleByNewtonCGState(NamedTuple):
    num_hvps: jax.Array  # products with the Hessian in the last step, int32
    # |H u - g| / |g| of the last step, float32 at least: how far the equation is from
    # solved; 0 at first.
    residual: jax.Array
    negative_curvature: jax.Array  # whether the last step met with it, bool


class Solution(NamedTuple):
    """Conjugate gradients at work; vectors are lists of arrays."""

    z: Any  # the solution so far
    r: Any  # what remains of the right-hand side
    d: Any  # the direction to go next
    rr: jax.Array  # r.r
    steps: jax.Array  # products with the matrix, int32
    done: jax.Array
    curved: jax.Array  # whether a direction of negative curvature has come up


def truncated_cg(
    product: Callable[[Any], Any], g: Any, tolerance: jax.Array, max_steps: Any
) -> Solution:
    """Solve B z = g by conjugate gradients, to |B z - g| <= tolerance.

    Along a direction of no positive curvature, d.B d <= 0, it ends with what it has:
    z is 0 if that is the first one.

    Source: Nocedal & Wright, Numerical optimization (2006), algorithm 7.1.
    """

    def body(s: Solution) -> Solution:
        bd = product(s.d)
        curvature = arithmetic.vdot(s.d, bd)
        goes_down = curvature > 0  # False for a NaN, too
        alpha = jnp.where(goes_down, s.rr / jnp.where(goes_down, curvature, 1), 0)
        z = arithmetic.add_scale(s.z, alpha, s.d)
        r = arithmetic.where(goes_down, arithmetic.add_scale(s.r, -alpha, bd), s.r)
        rr = norms.norm(r, squared=True).astype(s.rr.dtype)
        d = arithmetic.add_scale(r, rr / s.rr, s.d)
        done = ~goes_down | (jnp.sqrt(rr) <= tolerance)
        return Solution(z, r, d, rr, s.steps + 1, done, ~goes_down)

    rr = norms.norm(g, squared=True).astype(tolerance.dtype)
    first = Solution(
        z=arithmetic.zeros_like(g),
        r=g,
        d=g,
        rr=rr,
        steps=jnp.zeros([], jnp.int32),
        done=~(rr > 0) | ~jnp.isfinite(rr),
        curved=jnp.zeros([], bool),
    )
    return lax.while_loop(lambda s: ~s.done & (s.steps < max_steps), body, first)


@transformation
def scale_by_newton_cg(
    damping: Scalar = 0.0,
    max_cg_steps: int = 100,
    forcing: Scalar = 0.5,
    *,
    tol: Scalar | None = None,
):
    """Multiply the gradient by the inverse of the Hessian, approximately.

        (H + damping I) u = g,   to   |(H + damping I) u - g| <= eta |g|
        eta = min(1/2, |g|^forcing),   or tol

    by conjugate gradients, which need products of H with vectors only. Those are
    derivatives of the gradient along a vector, forward over reverse: the gradient is
    linearized once a step, after which a product costs about as much as a gradient.
    Far from the minimum a rough solution will do and takes few products; eta falls
    with the gradient, so that the convergence is of order 1 + forcing.

    Where the function curves down along a direction that comes up, the solution so far
    is taken; if it is the first, the gradient, no longer than 1. So -u always leads
    down; how far is for a line search to say.

    It needs `value_fn` in `update`, called with the parameters and those of the extra
    arguments that it names. Leaves without updates are held fixed.

    State: two numbers and a bool. A step keeps four arrays per parameter, and what the
    derivative needs of the forward pass, once; it takes at most max_cg_steps products,
    in exact arithmetic no more than there are parameters.

    Args:
      damping: added to the Hessian's eigenvalues, at least 0 (units: value over
        parameter squared). Above 0 steps are shorter where the function is flat, and
        the convergence is linear, by damping / (damping + smallest eigenvalue) a step.
      max_cg_steps: products with the Hessian a step at most, a whole number from 1.
      forcing: the exponent above, in [0, 1]. 0.5 is cheapest in the whole; 1 gives
        quadratic convergence.
      tol: eta itself, at least 0; `None` for the formula. A small one (1e-6 in
        float32, 1e-12 in float64) is Newton's exact step H^-1 g, to rounding: it
        solves a quadratic at once, and takes about as many products as the Hessian
        has clusters of eigenvalues. 0 goes on until nothing is left or max_cg_steps.

    Raises:
      ValueError: a number out of range; in `update`, an argument that is missing.
      TypeError: in `update`, complex parameters: their Hessian is not of this kind.

    Source: Nocedal & Wright, Numerical optimization (2006), algorithm 7.1 and theorem
    7.2; Levenberg, A method for the solution of certain non-linear problems in least
    squares (1944), for the damping; Pearlmutter, Fast exact multiplication by the
    Hessian (1994). The length of the first step at negative curvature is not there.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> def f(p):
      ...     return 5 * p[0] ** 2 + p[1] ** 2 / 2
      >>> tx = gradtx.scale_by_newton_cg()
      >>> p = jnp.array([1e-3, -2e-3])
      >>> updates, state = tx.update(jax.grad(f)(p), tx.init(p), p, value_fn=f)
      >>> bool(jnp.allclose(updates, p)), int(state.num_hvps)  # to the minimum
      (True, 2)
    """
    check.nonnegative("damping", damping)
    check.count("max_cg_steps", max_cg_steps, 1)
    check.fraction("forcing", forcing)
    if tol is not None:
        check.nonnegative("tol", tol)

    def init(params):
        return ScaleByNewtonCGState(
            num_hvps=jnp.zeros([], jnp.int32),
            residual=jnp.zeros([], scalar_dtype(params)),
            negative_curvature=jnp.zeros([], bool),
        )

    @compiled_once
    def update(updates, state, params=None, *, value_fn: Any = None, **extra):
        need_params(params)
        need_whole()
        check_state(state, ScaleByNewtonCGState)
        need_extra(value_fn=value_fn)
        dtype = state.residual.dtype
        fn = bound(value_fn, extra)
        value, p, moving = of_moving(fn, updates, params)
        leaves, treedef = leaves_of(updates)
        wide = [slot_dtype(x) for x in p]

        _, times_hessian = jax.linearize(jax.grad(value), p)

        def product(d):
            narrow = [x.astype(y.dtype) for x, y in zip(d, p, strict=True)]
            h = [x.astype(w) for x, w in zip(times_hessian(narrow), wide, strict=True)]
            return arithmetic.add_scale(h, damping, d)

        g = [jnp.asarray(leaves[i], w) for i, w in zip(moving, wide, strict=True)]
        size = norms.norm(g, axis_name=None).astype(dtype)
        eta = jnp.minimum(0.5, size**forcing) if tol is None else tol
        s = truncated_cg(product, g, (eta * size).astype(dtype), max_cg_steps)
        none = s.curved & (s.steps == 1)
        short = arithmetic.scale(1 / jnp.maximum(size, 1), g)
        # Zero or NaN in, zero or NaN out: then no step is taken above.
        u = arithmetic.where(none | ~jnp.isfinite(size), short, s.z)
        for i, x in zip(moving, u, strict=True):
            leaves[i] = x
        residual = jnp.sqrt(s.rr) / jnp.where(size > 0, size, 1)
        return treedef.unflatten(leaves), ScaleByNewtonCGState(
            num_hvps=s.steps,
            residual=residual.astype(dtype),
            negative_curvature=s.curved,
        )

    return init, update


@transformation
def newton(
    learning_rate: ScalarOrSchedule | None = None,
    damping: Scalar = 0.0,
    max_cg_steps: int = 100,
    forcing: Scalar = 0.5,
    linesearch: Any = scale_by_zoom_linesearch(  # noqa: B008  a value, never changed
        max_linesearch_steps=20, initial_guess_strategy="one"
    ),
    *,
    tol: Scalar | None = None,
):
    """Newton's method: `scale_by_newton_cg`, the direction down, then a line search.

        update(grads, state, params, value=, grad=, value_fn=, **extra)

    For functions of the full batch, deterministic and twice differentiable. A step
    takes some products with the Hessian (`num_hvps` in the state says how many), each
    of which costs about one gradient, and mostly one evaluation of value and gradient.

    A line search keeps the value from rising. Textbooks also have trust regions for
    that, which keep steps as short as the quadratic model was right before. The
    conjugate gradients here always lead down, so that a search along them is enough,
    and nothing about earlier steps has to be kept.

    State: one array per parameter (the line search's gradient) and eight numbers.

    Args:
      learning_rate: what the direction is multiplied by before the line search, a
        finite number or a schedule; `None` is 1, Newton's own.
      damping, max_cg_steps, forcing, tol: see `scale_by_newton_cg`.
      linesearch: the transformation that finds the step, or `None` for none:
        `newton(tol=1e-6, linesearch=None)` is p - H^-1 g as in More
        Optimization.

    Raises:
      ValueError: a number out of range; in `update`, an argument that is missing.
      TypeError: if linesearch is not a transformation; in `update`, complex parameters.

    Source: Nocedal & Wright, Numerical optimization (2006), algorithm 7.1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> def f(p):
      ...     return jnp.sum(jnp.exp(p) - p) + (p[0] - p[1]) ** 2
      >>> tx = gradtx.newton()
      >>> value_and_grad = gradtx.value_and_grad_from_state(f)
      >>> @jax.jit
      ... def step(p, state):
      ...     value, grad = value_and_grad(p, state=state)
      ...     return tx.step(grad, state, p, value=value, grad=grad, value_fn=f)
      >>> p = jnp.array([2.0, -1.0])
      >>> state = tx.init(p)
      >>> for _ in range(7):
      ...     p, state = step(p, state)
      >>> bool(jnp.max(jnp.abs(p)) < 1e-5)
      True
    """
    direction = scale_by_newton_cg(damping, max_cg_steps, forcing, tol=tol)
    return downhill(direction, learning_rate, linesearch)
