"""The public names of what is stored in few bits, each once."""

from gradtx.precision.quantize import (
    QuantizeState as QuantizeState,
    quantize_state as quantize_state,
)
from gradtx.precision.write import WriteState as WriteState, write as write
