"""Assignment: which row goes with which column, at the least cost."""

from gradtx.assignment.hungarian import hungarian_algorithm as hungarian_algorithm
