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
from gradtx.optimizers.noisy_sgd import noisy_sgd as noisy_sgd
from gradtx.optimizers.optimistic import (
    ScaleByOptimisticGradientState as ScaleByOptimisticGradientState,
    optimistic_gradient_descent as optimistic_gradient_descent,
    scale_by_optimistic_gradient as scale_by_optimistic_gradient,
)
from gradtx.optimizers.optimistic_adam import (
    optimistic_adam as optimistic_adam,
    optimistic_adam_v2 as optimistic_adam_v2,
)
from gradtx.optimizers.polyak_sgd import (
    polyak_sgd as polyak_sgd,
    scale_by_polyak as scale_by_polyak,
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
from gradtx.optimizers.sign_sgd import (
    scale_by_sign as scale_by_sign,
    sign_sgd as sign_sgd,
    signum as signum,
)
