"""Speed and memory of gradtx, beside Optax and a step written by hand.

python -m tests.benchmarks --help
"""
