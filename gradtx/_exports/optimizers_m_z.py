"""The public names of the optimizers from M to Z, each once."""

from gradtx.optimizers.nadam import (
    ScaleByNadamState as ScaleByNadamState,
    nadam as nadam,
    scale_by_nadam as scale_by_nadam,
)
from gradtx.optimizers.newton import (
    ScaleByNewtonCGState as ScaleByNewtonCGState,
    newton as newton,
    scale_by_newton_cg as scale_by_newton_cg,
)
from gradtx.optimizers.radam import radam as radam, scale_by_radam as scale_by_radam
from gradtx.optimizers.rmsprop import (
    ScaleByRmsState as ScaleByRmsState,
    ScaleByRmsWithCountState as ScaleByRmsWithCountState,
    ScaleByRStdDevState as ScaleByRStdDevState,
    ScaleByRStdDevWithCountState as ScaleByRStdDevWithCountState,
    rmsprop as rmsprop,
    scale_by_rms as scale_by_rms,
    scale_by_stddev as scale_by_stddev,
)
from gradtx.optimizers.rprop import (
    ScaleByRpropState as ScaleByRpropState,
    rprop as rprop,
    scale_by_rprop as scale_by_rprop,
)
from gradtx.optimizers.sgd import sgd as sgd
from gradtx.optimizers.sophia import (
    HutchinsonState as HutchinsonState,
    SophiaState as SophiaState,
    hutchinson_estimator_diag_hessian as hutchinson_estimator_diag_hessian,
    scale_by_sophia as scale_by_sophia,
    sophia as sophia,
)
