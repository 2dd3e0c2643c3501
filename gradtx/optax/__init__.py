"""Optax's names, answered by gradtx: `import gradtx.optax as optax`.

A script that uses Optax runs on gradtx by this one changed import, or by none:

    python -m gradtx.optax train.py --its arguments

Each module here has the names that Optax's module of the same path has, and nothing
else: `optax.adamw`, `optax.contrib.sophia`, `optax.tree_utils.tree_get`. `_names.py`
lists them, once; where a name stands for an object of gradtx's own namespace
(`gradtx.adamw`, `gradtx.tree.get`) it is looked up there when it is asked for, so that
the face has what gradtx has. `_adapted.py` has what Optax spells differently. A name
that gradtx lacks raises an AttributeError that says who could answer.

`optax.__version__` is the version of Optax whose names these are.
"""

from gradtx.optax import (
    assignment as assignment,
    contrib as contrib,
    experimental as experimental,
    losses as losses,
    microbatching as microbatching,
    perturbations as perturbations,
    projections as projections,
    schedules as schedules,
    second_order as second_order,
    transforms as transforms,
    tree as tree,
    tree_utils as tree_utils,
)
from gradtx.optax._lookup import face as _face
from gradtx.optax._names import VERSION as _VERSION
from gradtx.optax._program import install as install

__version__ = _VERSION
__getattr__, __dir__ = _face(__name__)
