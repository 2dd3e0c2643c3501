"""The public names of what looks at a whole transformation, each once."""

from gradtx.checking.check import check as check
from gradtx.checking.finding import Finding as Finding
