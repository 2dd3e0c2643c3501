"""The public names of sweeps, each once."""

from gradtx.sweeping.sweep import Sweep as Sweep, sweep as sweep
