"""Losses: one number for each prediction, or for each example.

Nothing is averaged here: `losses.l2_loss(predictions, targets).mean()`.
"""

from gradtx.losses.classification import (
    hinge_loss,
    multiclass_hinge_loss,
    sigmoid_binary_cross_entropy,
    softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels,
)
from gradtx.losses.regression import huber_loss, l2_loss, squared_error

__all__ = [
    "hinge_loss",
    "huber_loss",
    "l2_loss",
    "multiclass_hinge_loss",
    "sigmoid_binary_cross_entropy",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "squared_error",
]
