"""Pictures of optimizers, drawn by gradtx.plot.

python -m examples.pictures
python -m examples.pictures --out pictures saddle.gif adam schedules

Each picture is a function without arguments that returns a matplotlib Figure; the
"""

# report first: it says what to install where matplotlib is missing.
from examples import report as report
from examples.pictures.algorithms import algorithm as algorithm
from examples.pictures.gallery import PICTURES as PICTURES, write as write
