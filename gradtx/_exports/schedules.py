"""The public names of the schedules; they are listed in gradtx/schedules/public.py."""

from gradtx.schedules.public import *
