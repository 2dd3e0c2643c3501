"""The public names of what goes to and comes from other libraries, each once."""

from gradtx.interop.optax_states import (
    from_optax as from_optax,
    to_optax_state as to_optax_state,
)
from gradtx.interop.torch_states import from_torch as from_torch
