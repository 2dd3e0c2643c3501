"""Weight decay of any kind around any optimizer."""

import inspect
from typing import Any

from gradtx.core import check
from gradtx.core.call import Call, Remembered
from gradtx.core.compose import chain
from gradtx.core.masking import MaskOrFn
from gradtx.core.transformation import inner_of, transformation
from gradtx.core.types import Scalar, ScalarOrSchedule
from gradtx.transforms.decay import add_decayed_weights
from gradtx.transforms.shrink import SHRINKING, shrink_weights
from gradtx.wrappers.rates import check_no_decay, peak_of, rate_of

KINDS = ("coupled", *SHRINKING)


@transformation
def with_decay(
    inner: Any,
    weight_decay: ScalarOrSchedule,
    kind: str = "decoupled",
    *,
    learning_rate: ScalarOrSchedule | None = None,
    peak: Scalar | None = None,
    mask: MaskOrFn | None = None,
    normalized: MaskOrFn | None = None,
):
    """Let the weights decay, in one of five ways, around any optimizer.

    With the learning rate eta_t, its largest value eta and the decay lambda, the
    optimizer's step u_t (which leads down) becomes

        coupled       u_t of the gradients g_t + lambda p
        decoupled     u_t - eta_t lambda p
        independent   u_t - (eta_t / eta) lambda p
        corrected     u_t - (eta_t^2 / eta) lambda p
        cautious      u_t - eta_t lambda p   where u_t p <= 0,   u_t elsewhere

    `with_decay(adam(rate), 0.1)` is `adamw(rate, weight_decay=0.1)`. `decay` says the
    same in place of a number: `adamw(rate, weight_decay=decay(0.1, "cautious"))`.

    - coupled: the gradient of the penalty lambda |p|^2 / 2. An adaptive method divides
      it with the gradient, so that weights with large gradients decay less.
    - decoupled: a step shrinks all weights by the same factor.
    - independent: another learning rate leaves the decay as it is. The numbers are
      those of decoupled times eta: 1e-4 in place of 0.1 at a rate of 1e-3.
    - corrected: where a normalisation follows, weights settle where gradient and
      weight have a ratio that goes with sqrt(lambda / eta_t) and rises as the rate
      falls; with one factor of the schedule more the ratio stays.
    - cautious: only entries that the step makes smaller (or leaves) decay. A minimum
      of the loss stays one.

    State: the inner one, and one int32 if the rate or the decay is a schedule.

    Args:
      inner: the optimizer. One that has a `weight_decay` itself must have it 0.
      weight_decay: lambda, at least 0, or a schedule.
      kind: "decoupled", "coupled", "independent", "corrected" or "cautious".
      learning_rate: eta_t. By default the one of the `scale_by_learning_rate` in the
        optimizer's chain; what is behind that, a `scale` say, does not count. One that
        has none there (`prodigy`, `MultiSteps`, `inject_hyperparams`) needs it said;
        around `MultiSteps` the weights would decay in each micro-batch, so that
        `with_decay` goes inside.
      peak: eta, above 0, for "independent" and "corrected". By default the rate, if it
        is a number, and the largest value of a schedule whose arguments say it.
      mask: which leaves decay, see `add_decayed_weights`; by default all.
      normalized: for "corrected": which leaves a normalisation follows; the others
        decay decoupled. By default all; in a transformer, all but the output layer.

    Raises:
      ValueError: a number out of range, another kind, an argument that the kind has no
        use for, a learning rate or a peak that cannot be found, an optimizer with a
        decay of its own, no params in `update`, or a mask that does not fit.
      TypeError: if inner is not a transformation.

    Source: Loshchilov & Hutter, Decoupled weight decay regularization (2019), algorithm
    2, whose decay is the independent one (decoupled is PyTorch's); Defazio, Why
    gradients rapidly increase near the end of training (2025), AdamC; Chen et al.,
    Cautious weight decay (2025), algorithm 1.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.with_decay(gradtx.sgd(0.5), 0.1, "cautious")
      >>> params = jnp.array([1.0, 1.0])  # the first is on its way to 0
      >>> tx.step(jnp.array([1.0, -1.0]), tx.init(params), params)[0]
      Array([0.45, 1.5 ], dtype=float32)
    """
    check.choice("kind", kind, KINDS)
    tx = inner_of("with_decay: inner", inner)
    for name, value, kinds in (
        ("learning_rate", learning_rate, SHRINKING),
        ("peak", peak, ("independent", "corrected")),
        ("normalized", normalized, ("corrected",)),
    ):
        if value is not None and kind not in kinds:
            raise ValueError(f"with_decay: {kind} decay has no use for {name}.")
    check_no_decay("with_decay", tx)
    if kind == "coupled":
        return chain(add_decayed_weights(weight_decay, mask), tx)
    rate = rate_of("with_decay", tx, learning_rate)
    largest = 1.0
    if kind in ("independent", "corrected"):
        largest = peak_of("with_decay", rate, peak)
    shrink = shrink_weights(
        weight_decay, rate, kind, peak=largest, mask=mask, normalized=normalized
    )
    return chain(tx, shrink)


class Decay(Remembered):
    """A kind of decay in place of a number; `decay` makes it."""

    def __init__(self, call: Call):
        self.call = call

    def in_place_of(self, name: str, call: Call) -> Any:
        """The optimizer of a call in which this is the argument of that name."""
        if name not in ("weight_decay", "weight_decay_rate"):
            raise TypeError(
                f"{call.name}: {name} is {self!r}, which only a weight decay can be."
            )
        outer = inspect.signature(call.factory).bind(*call.args, **call.kwargs)
        assert self.call is not None
        own = inspect.signature(decay).bind(*self.call.args, **self.call.kwargs)
        given = dict(own.arguments)
        for other in ("mask", "weight_decay_mask"):
            mask = outer.arguments.get(other)
            if mask is not None and given.setdefault("mask", mask) is not mask:
                raise ValueError(
                    f"{call.name}: {other} is given, and decay has a mask."
                )
        outer.arguments[name] = 0.0
        plain = call.factory(*outer.args, **outer.kwargs)
        return with_decay(plain, given.pop("value"), **given)


def decay(
    value: ScalarOrSchedule,
    kind: str = "decoupled",
    *,
    learning_rate: ScalarOrSchedule | None = None,
    peak: Scalar | None = None,
    mask: MaskOrFn | None = None,
    normalized: MaskOrFn | None = None,
) -> Any:
    """Say which kind of weight decay is meant, in place of a number.

    Every optimizer that has a `weight_decay` takes it, whatever its own kind is:
    `lion(1e-4, weight_decay=decay(0.1, "cautious"))` is `with_decay(lion(1e-4,
    weight_decay=0.0), 0.1, "cautious")`. In `groups`, too, where a dict changes it.

    Args:
      value: lambda of `with_decay`, at least 0, or a schedule.
      kind, learning_rate, peak, normalized: see `with_decay`.
      mask: which leaves decay; an optimizer that has a mask of its own may have it
        there instead.

    Returns:
      What is given as `weight_decay`.

    Raises:
      ValueError: a number out of range, or another kind.

    Source: see `with_decay`.

    Example:
      >>> import gradtx
      >>> tx = gradtx.adamw(1e-3, weight_decay=gradtx.decay(1e-4, "independent"))
      >>> tx
      adamw(0.001, weight_decay=decay(0.0001, 'independent'))
      >>> print(tx.made_of)
      with_decay(adamw(0.001, weight_decay=0.0), 0.0001, kind='independent')
    """
    check.choice("kind", kind, KINDS)
    if not callable(value):
        check.nonnegative("value", value)
    options = {
        "learning_rate": learning_rate,
        "peak": peak,
        "mask": mask,
        "normalized": normalized,
    }
    kwargs = {name: x for name, x in options.items() if x is not None}
    args = (value,) if kind == "decoupled" else (value, kind)
    return Decay(Call(decay, args, kwargs))
