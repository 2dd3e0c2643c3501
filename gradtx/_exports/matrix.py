"""The public names of optimizers of whole matrices, each once."""

from gradtx.matrix.axes import MuonDimensionNumbers as MuonDimensionNumbers
from gradtx.matrix.muon import (
    MuonState as MuonState,
    muon as muon,
    scale_by_muon as scale_by_muon,
)
