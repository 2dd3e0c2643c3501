"""The names of `optax.losses`; see `gradtx.optax`."""

from gradtx.optax._lookup import face as _face

__getattr__, __dir__ = _face(__name__)
