"""Schedules: functions of the step count."""

from gradtx.schedules.base import schedule as schedule
from gradtx.schedules.public import *
