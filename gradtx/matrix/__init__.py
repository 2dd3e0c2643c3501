"""Functions of whole matrices: what Muon's rule is made of."""

from gradtx.matrix.iteration import orthogonalize as orthogonalize
