"""Connectionist temporal classification: labels without times for scores with times."""

import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gradtx.losses.inputs import compute_dtype, real
from gradtx.losses.softmax import shift_and_log_sum


class _Checked(NamedTuple):
    logits: jax.Array  # (batch, frames, classes), float32 at least
    silent: jax.Array  # (batch, frames), True where a frame is padded
    labels: jax.Array  # (batch, labels), int32 at least
    length: jax.Array  # (batch,), how many labels are none of the padding
    wrong: jax.Array  # (batch,), whether one of these is no class, or is the blank


def _checked(
    function: str, logits, logit_paddings, labels, label_paddings, blank_id
) -> _Checked:
    s, y = real(function, "logits", logits), jnp.asarray(labels)
    if s.ndim != 3 or not (s.shape[1] and s.shape[2]):
        raise ValueError(
            f"{function}: logits has shape {s.shape}: it must have three axes, batch, "
            f"frames and classes, with a frame and a class."
        )
    if not jnp.issubdtype(y.dtype, jnp.integer):
        raise TypeError(
            f"{function}: labels must be integers, got {y.dtype}: convert them with "
            f"labels.astype(int)."
        )
    if y.ndim != 2 or y.shape[0] != s.shape[0]:
        raise ValueError(
            f"{function}: labels has shape {y.shape}, logits has {s.shape}: give one "
            f"row of labels for each member of the batch."
        )
    padded = []
    for name, array, shape in (
        ("logit_paddings", logit_paddings, s.shape[:2]),
        ("label_paddings", label_paddings, y.shape),
    ):
        if jnp.shape(array) != shape:
            raise ValueError(
                f"{function}: {name} has shape {jnp.shape(array)}, it must have "
                f"{shape}: 1 where there is padding, and else 0."
            )
        padded.append(jnp.asarray(array) != 0)
    blank = operator.index(blank_id)
    if not 0 <= blank < s.shape[2]:
        raise ValueError(
            f"{function}: blank_id must be a class, in [0, {s.shape[2]}), got {blank}."
        )
    silent, absent = padded
    y = y.astype(jnp.promote_types(y.dtype, jnp.int32))
    wrong = (y < 0) | (y >= s.shape[2]) | (y == blank)
    return _Checked(
        # Whatever a padded frame holds, NaN too, has no gradient.
        jnp.where(silent[..., None], 0, s).astype(compute_dtype(s)),
        silent,
        y,
        jnp.sum(~absent, 1),
        jnp.any(wrong & ~absent, 1),
    )


def _log_add(a: jax.Array, b: jax.Array) -> jax.Array:
    """log(e^a + e^b); -inf and no gradient where both are -inf."""
    top = jax.lax.stop_gradient(jnp.maximum(a, b))
    top = jnp.where(top == -jnp.inf, 0, top)
    total = jnp.exp(a - top) + jnp.exp(b - top)
    return jnp.where(
        total == 0, -jnp.inf, top + jnp.log(jnp.where(total == 0, 1, total))
    )


def _merged(blank: jax.Array, label: jax.Array) -> jax.Array:
    """By how many labels they spell: paths that end in a blank, and in a label."""
    return jnp.concatenate([blank[:, :1], _log_add(blank[:, 1:], label)], 1)


def ctc_loss_with_forward_probs(
    logits: ArrayLike,
    logit_paddings: ArrayLike,
    labels: ArrayLike,
    label_paddings: ArrayLike,
    *,
    blank_id: int = 0,
    log_epsilon: ArrayLike = -1e5,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The CTC loss, and the probabilities of the beginnings of all labels.

        L = -log sum over paths pi of prod_t p_t(pi_t),   p_t = softmax(s_t)

    A path names a class for each frame. It spells the labels, if they are what is left
    when repetitions are made one and then blanks are left out.

    Args:
      logits: s, floating point, of shape (batch, frames, classes).
      logit_paddings: of shape (batch, frames), 0, and 1 for frames that do not exist.
      labels: integers, of shape (batch, labels).
      label_paddings: of shape (batch, labels), 0, and then 1 for labels that do not
        exist, at the end of a row; their values do not matter.
      blank_id: the class of the blank.
      log_epsilon: what stands for the logarithm of 0 in the results: labels that no
        path can spell, since there are too few frames, have the loss -log_epsilon, and
        no gradient. -inf makes that inf, as in PyTorch.

    Returns:
      The losses, of shape (batch,); the logarithms of the probabilities that the frames
      up to t spell the first n labels and end in a blank, of shape (frames, batch,
      labels + 1); and that they spell the first n + 1 and end in the last of these, of
      shape (frames, batch, labels). In the last frame the first array has both ends.
      All are float32 at least. A label that is no class, or is the blank, makes the
      loss and the gradient of its row NaN.

    Raises:
      ValueError: a shape does not fit, there is no frame, or blank_id is no class.
      TypeError: logits are not floating point, or labels or blank_id not integers.

    Source: Graves et al., Connectionist temporal classification, 2006, equations 6-8.
    Optax adds log_epsilon for each 0 on the way, so that a path less likely than that
    is lost.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> logits, labels = jnp.zeros((1, 2, 2)), jnp.array([[1]])
      >>> loss, _, ends = gradtx.ctc_loss_with_forward_probs(
      ...     logits, jnp.zeros((1, 2)), labels, jnp.zeros((1, 1))
      ... )
      >>> jnp.exp(-loss)  # of 4 paths 3 spell it: 11, 01, 10
      Array([0.75], dtype=float32)
      >>> jnp.exp(ends[:, 0, 0])  # 1 after a frame; 11 or 01 after two
      Array([0.5, 0.5], dtype=float32)
    """
    function = "ctc_loss_with_forward_probs"
    x = _checked(function, logits, logit_paddings, labels, label_paddings, blank_id)
    return _forward(x, blank_id, log_epsilon)


def _forward(x: _Checked, blank_id: int, log_epsilon: ArrayLike):
    """The loss, and the logarithms of the paths' probabilities."""
    top, log_sum = shift_and_log_sum(x.logits, (2,))
    log_p = x.logits - top - log_sum
    batch, size = x.labels.shape
    index = jnp.clip(x.labels, 0, log_p.shape[2] - 1)[:, None]
    index = jnp.broadcast_to(index, (*log_p.shape[:2], size))
    of_labels = jnp.take_along_axis(log_p, index, 2)
    again = jnp.zeros((batch, size), bool)
    again = again.at[:, :-1].set(x.labels[:, 1:] == x.labels[:, :-1])

    def frame(carry, inputs):
        blank, label = carry
        p_blank, p_label, silent = inputs
        # A label follows another at once, but the same only after a blank.
        ahead = _merged(blank, jnp.where(again, -jnp.inf, label))[:, :-1]
        new = (
            _merged(blank, label) + p_blank[:, None],
            _log_add(ahead, label) + p_label,
        )
        carry = tuple(
            jnp.where(silent[:, None], old, now)
            for old, now in zip(carry, new, strict=True)
        )
        return carry, carry

    start = jnp.full((batch, size + 1), -jnp.inf, log_p.dtype).at[:, 0].set(0)
    frames = log_p[..., blank_id], of_labels, x.silent
    _, (blank, label) = jax.lax.scan(
        frame, (start, start[:, 1:]), [jnp.swapaxes(a, 0, 1) for a in frames]
    )
    ends = _merged(blank[-1], label[-1])
    total = jnp.take_along_axis(ends, x.length[:, None], 1)[:, 0]
    floor = jnp.asarray(log_epsilon, total.dtype)
    total, blank, label = (
        jnp.where(a == -jnp.inf, floor, a)
        for a in (total, blank.at[-1].set(ends), label)
    )
    # A factor, since a where would leave the gradient finite and plausible.
    return -total * jnp.where(x.wrong, jnp.nan, 1).astype(total.dtype), blank, label


def ctc_loss(
    logits: ArrayLike,
    logit_paddings: ArrayLike,
    labels: ArrayLike,
    label_paddings: ArrayLike,
    *,
    blank_id: int = 0,
    log_epsilon: ArrayLike = -1e5,
) -> jax.Array:
    """The CTC loss of labels for frames, whatever frame each label belongs to.

        L = -log sum over paths that spell the labels of prod_t softmax(s_t)

    Args, errors and source are those of `ctc_loss_with_forward_probs`, of which it
    returns the first result: the losses, of shape (batch,).

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> logits, labels = jnp.zeros((1, 2, 2)), jnp.array([[1]])
      >>> gradtx.ctc_loss(logits, jnp.zeros((1, 2)), labels, jnp.zeros((1, 1)))
      Array([0.2876821], dtype=float32)
    """
    function = "ctc_loss"
    x = _checked(function, logits, logit_paddings, labels, label_paddings, blank_id)
    return _forward(x, blank_id, log_epsilon)[0]
