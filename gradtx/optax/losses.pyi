# made by python -m tests.compat.optax_names --write

from gradtx import (
    hinge_loss as hinge_loss,
    huber_loss as huber_loss,
    l2_loss as l2_loss,
    sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy,
    softmax_cross_entropy as softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
    squared_error as squared_error,
)
from gradtx.optax._adapted import (
    multiclass_hinge_loss as multiclass_hinge_loss,
)
