# made by python -m tests.compat.optax_names --write

from gradtx import (
    galore as galore,
    GaLoreDimensionNumbers as GaLoreDimensionNumbers,
    GaLoreState as GaLoreState,
    normalize as normalize,
    NormalizeState as NormalizeState,
    scale_by_galore as scale_by_galore,
)
