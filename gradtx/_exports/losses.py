"""The public names of the losses, each once."""

from gradtx.losses.classification import (
    hinge_loss as hinge_loss,
    multiclass_hinge_loss as multiclass_hinge_loss,
    sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy,
    softmax_cross_entropy as softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
)
from gradtx.losses.regression import (
    huber_loss as huber_loss,
    l2_loss as l2_loss,
    squared_error as squared_error,
)
