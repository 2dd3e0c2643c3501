"""The public names of the optimizers from A to L, each once."""

from gradtx.optimizers.adadelta import (
    ScaleByAdaDeltaState as ScaleByAdaDeltaState,
    adadelta as adadelta,
    scale_by_adadelta as scale_by_adadelta,
)
from gradtx.optimizers.adagrad import (
    ScaleByRssState as ScaleByRssState,
    adagrad as adagrad,
    scale_by_rss as scale_by_rss,
)
from gradtx.optimizers.adam import (
    ScaleByAdamState as ScaleByAdamState,
    adam as adam,
    scale_by_adam as scale_by_adam,
)
from gradtx.optimizers.adam_lp import (
    adam_lp as adam_lp,
    scale_by_adam_lp as scale_by_adam_lp,
)
from gradtx.optimizers.adamax import (
    adamax as adamax,
    adamaxw as adamaxw,
    scale_by_adamax as scale_by_adamax,
)
from gradtx.optimizers.adamw import adamw as adamw, nadamw as nadamw
from gradtx.optimizers.amsgrad import (
    ScaleByAmsgradState as ScaleByAmsgradState,
    amsgrad as amsgrad,
    scale_by_amsgrad as scale_by_amsgrad,
)
from gradtx.optimizers.dpsgd import (
    DifferentiallyPrivateAggregateState as DifferentiallyPrivateAggregateState,
    differentially_private_aggregate as differentially_private_aggregate,
    dpsgd as dpsgd,
)
from gradtx.optimizers.lbfgs import (
    ScaleByLBFGSState as ScaleByLBFGSState,
    lbfgs as lbfgs,
    scale_by_lbfgs as scale_by_lbfgs,
)
from gradtx.optimizers.lion import (
    ScaleByLionState as ScaleByLionState,
    lion as lion,
    scale_by_lion as scale_by_lion,
)
