"""Functions of trees: arithmetic, norms, casts, random numbers, access to states."""

from gradtx.tree.norms import norm as norm
from gradtx.tree.random import random_like as random_like
