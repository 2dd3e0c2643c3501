"""The public names of the optimizers from M to Z, each once."""

from gradtx.optimizers.madgrad import (
    MadgradState as MadgradState,
    madgrad as madgrad,
    scale_by_madgrad as scale_by_madgrad,
)
from gradtx.optimizers.mars import (
    ScaleByMarsState as ScaleByMarsState,
    mars as mars,
    scale_by_mars as scale_by_mars,
)
from gradtx.optimizers.momo import (
    MomoAdamState as MomoAdamState,
    MomoState as MomoState,
    momo as momo,
    momo_adam as momo_adam,
)
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
from gradtx.optimizers.noisy_sgd import (
    noisy_sgd as noisy_sgd,
)
from gradtx.optimizers.novograd import (
    ScaleByNovogradState as ScaleByNovogradState,
    novograd as novograd,
    scale_by_novograd as scale_by_novograd,
)
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
from gradtx.optimizers.prodigy import (
    ProdigyState as ProdigyState,
    prodigy as prodigy,
)
from gradtx.optimizers.radam import (
    radam as radam,
    scale_by_radam as scale_by_radam,
)
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
from gradtx.optimizers.schedule_free import (
    schedule_free_adamw as schedule_free_adamw,
    schedule_free_sgd as schedule_free_sgd,
)
from gradtx.optimizers.sgd import sgd as sgd
from gradtx.optimizers.sign_sgd import (
    scale_by_sign as scale_by_sign,
    sign_sgd as sign_sgd,
    signum as signum,
)
from gradtx.optimizers.simplified_ademamix import (
    ScaleBySimplifiedAdEMAMixState as ScaleBySimplifiedAdEMAMixState,
    scale_by_simplified_ademamix as scale_by_simplified_ademamix,
    simplified_ademamix as simplified_ademamix,
)
from gradtx.optimizers.sm3 import (
    ScaleBySM3State as ScaleBySM3State,
    scale_by_sm3 as scale_by_sm3,
    sm3 as sm3,
)
from gradtx.optimizers.sophia import (
    HutchinsonState as HutchinsonState,
    SophiaState as SophiaState,
    hutchinson_estimator_diag_hessian as hutchinson_estimator_diag_hessian,
    scale_by_sophia as scale_by_sophia,
    sophia as sophia,
)
from gradtx.optimizers.stable_adamw import (
    scale_by_stable_adamw as scale_by_stable_adamw,
    stable_adamw as stable_adamw,
)
from gradtx.optimizers.yogi import (
    scale_by_yogi as scale_by_yogi,
    yogi as yogi,
)
