"""What `check` finds."""

from typing import NamedTuple


class Finding(NamedTuple):
    """Something that `check` has found; it prints as one line.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.adamw(1e-3, b2=0.999, nu_dtype="bfloat16")
      >>> [f.kind for f in gradtx.check(tx, {"w": jnp.ones((2, 2))})]
      ['bfloat16_second_moment']
    """

    kind: str  # one of those that `check` lists; what `ignore` takes
    problem: str  # a sentence that names the call, and the parameters where it counts
    instead: str  # a sentence that says what to write

    def __str__(self) -> str:
        return f"{self.kind}: {self.problem} {self.instead}"
