"""Pictures of optimizers: paths on surfaces, schedules, metrics, sweeps.

Needs matplotlib, `pip install "gradtx[plot]"`, which is imported at the first picture
only. Every function takes an axis, draws on it and returns it; without one it makes a
figure of its own, which a notebook shows when the axis is a cell's last line.
"""

from gradtx.plot import surfaces as surfaces
from gradtx.plot.curves import (
    plot_metrics as plot_metrics,
    plot_schedule as plot_schedule,
)
from gradtx.plot.effective import (
    plot_step_sizes as plot_step_sizes,
    step_sizes as step_sizes,
)
from gradtx.plot.maps import plot_paths as plot_paths
from gradtx.plot.movie import animate_paths as animate_paths
from gradtx.plot.sweeps import plot_sweep as plot_sweep
from gradtx.plot.trajectories import paths as paths
