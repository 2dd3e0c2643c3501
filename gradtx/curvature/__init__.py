"""Curvature: products with second derivatives, eigenvalues, roots of matrices.

Nothing here stores a Hessian: a function of trees multiplies vectors with it.
"""

from gradtx.curvature.nnls import nnls as nnls
from gradtx.curvature.products import (
    fisher_diag as fisher_diag,
    gnvp as gnvp,
    hessian_diag as hessian_diag,
    hvp as hvp,
)
from gradtx.curvature.roots import matrix_inverse_pth_root as matrix_inverse_pth_root
from gradtx.curvature.spectrum import (
    Eigenpairs as Eigenpairs,
    lanczos as lanczos,
    power_iteration as power_iteration,
    sharpness as sharpness,
)
