"""Experiments of papers, made again: `python -m examples.papers.NAME --help`."""
