"""The public names of the optimizers from A to L, each once."""

from gradtx.optimizers.acprop import (
    acprop as acprop,
    scale_by_acprop as scale_by_acprop,
)
from gradtx.optimizers.adabelief import (
    ScaleByBeliefState as ScaleByBeliefState,
    adabelief as adabelief,
    scale_by_belief as scale_by_belief,
)
from gradtx.optimizers.adadelta import (
    ScaleByAdaDeltaState as ScaleByAdaDeltaState,
    adadelta as adadelta,
    scale_by_adadelta as scale_by_adadelta,
)
from gradtx.optimizers.adafactor import (
    FactoredState as FactoredState,
    adafactor as adafactor,
    scale_by_factored_rms as scale_by_factored_rms,
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
from gradtx.optimizers.adam_mini import (
    ScaleByAdamMiniState as ScaleByAdamMiniState,
    adam_mini as adam_mini,
    scale_by_adam_mini as scale_by_adam_mini,
)
from gradtx.optimizers.adamax import (
    adamax as adamax,
    adamaxw as adamaxw,
    scale_by_adamax as scale_by_adamax,
)
from gradtx.optimizers.adamw import (
    adamw as adamw,
    nadamw as nadamw,
)
from gradtx.optimizers.adan import (
    ScaleByAdanState as ScaleByAdanState,
    adan as adan,
    scale_by_adan as scale_by_adan,
)
from gradtx.optimizers.ademamix import (
    ScaleByAdemamixState as ScaleByAdemamixState,
    ademamix as ademamix,
    scale_by_ademamix as scale_by_ademamix,
)
from gradtx.optimizers.adopt import (
    adopt as adopt,
    scale_by_adopt as scale_by_adopt,
)
from gradtx.optimizers.amsgrad import (
    ScaleByAmsgradState as ScaleByAmsgradState,
    amsgrad as amsgrad,
    scale_by_amsgrad as scale_by_amsgrad,
)
from gradtx.optimizers.apollo import (
    ScaleByApolloState as ScaleByApolloState,
    apollo as apollo,
    apollo_mini as apollo_mini,
    scale_by_apollo as scale_by_apollo,
)
from gradtx.optimizers.asgd import (
    ScaleByAsgdState as ScaleByAsgdState,
    asgd as asgd,
    asgd_eval_params as asgd_eval_params,
    scale_by_asgd as scale_by_asgd,
)
from gradtx.optimizers.came import (
    ScaleByCameState as ScaleByCameState,
    came as came,
    scale_by_came as scale_by_came,
)
from gradtx.optimizers.cocob import (
    COCOBState as COCOBState,
    cocob as cocob,
    scale_by_cocob as scale_by_cocob,
)
from gradtx.optimizers.dadapt_adamw import (
    DAdaptAdamWState as DAdaptAdamWState,
    dadapt_adamw as dadapt_adamw,
)
from gradtx.optimizers.dog import (
    DoGState as DoGState,
    DoWGState as DoWGState,
    dog as dog,
    dowg as dowg,
    scale_by_dog as scale_by_dog,
    scale_by_dowg as scale_by_dowg,
)
from gradtx.optimizers.dpsgd import (
    DifferentiallyPrivateAggregateState as DifferentiallyPrivateAggregateState,
    differentially_private_aggregate as differentially_private_aggregate,
    dpsgd as dpsgd,
)
from gradtx.optimizers.fromage import (
    fromage as fromage,
)
from gradtx.optimizers.ftrl import (
    FtrlState as FtrlState,
    ftrl as ftrl,
)
from gradtx.optimizers.galore import (
    GaLoreDimensionNumbers as GaLoreDimensionNumbers,
    GaLoreState as GaLoreState,
    galore as galore,
    scale_by_galore as scale_by_galore,
)
from gradtx.optimizers.lamb import (
    lamb as lamb,
)
from gradtx.optimizers.laprop import (
    laprop as laprop,
    scale_by_laprop as scale_by_laprop,
)
from gradtx.optimizers.lars import (
    lars as lars,
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
