"""How long averages and weight decay remember."""

import math

from gradtx.core import check
from gradtx.core.types import Scalar


def decay_timescale(learning_rate: Scalar, weight_decay: Scalar) -> Scalar:
    """The steps over which decoupled weight decay averages the updates.

        tau = 1 / (learning_rate weight_decay)

    With decay the weights are an exponential average of the updates over so many steps.
    Divided by the steps of an epoch it is a number of epochs, which stays right when
    the data or the batch grow.

    Args:
      learning_rate, weight_decay: above 0.

    Raises:
      ValueError: a number out of range.

    Source: Wang & Aitchison, How to set AdamW's weight decay as you scale model and
    dataset size (2024).

    Example:
      >>> import gradtx
      >>> gradtx.decay_timescale(1e-3, 0.1)
      10000.0
    """
    check.positive("learning_rate", learning_rate)
    check.positive("weight_decay", weight_decay)
    return 1 / (learning_rate * weight_decay)


def rescaled_decay(decay: Scalar, factor: Scalar) -> Scalar:
    """The decay of an average that remembers as many examples with another batch size.

        decay' = decay^factor

    Half of what an average holds is of the last log(1/2) / log(decay) steps; a batch
    of `factor` times the size has as many examples in that many times fewer steps.

    Args:
      decay: b1, b2 or another one, in [0, 1).
      factor: the new batch size over the old one, above 0.

    Raises:
      ValueError: a number out of range.

    Source: Marek et al., Small batch size training for language models (2025), which
    keeps the half-life of b2 in tokens.

    Example:
      >>> import gradtx
      >>> round(gradtx.rescaled_decay(0.95, 1 / 512), 5)  # 512 examples, now 1
      0.9999
    """
    check.decay("decay", decay)
    check.positive("factor", factor)
    if isinstance(decay, float | int) and isinstance(factor, float | int):
        return math.pow(decay, factor)
    return decay**factor
