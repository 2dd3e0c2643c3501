"""The device: what it is, whether its numbers are right, and what torch does on it."""

import os
import platform
import re
import subprocess
import sys
from importlib import metadata, util
from pathlib import Path
from typing import Any

import jax
import numpy as np

from . import trees
from .measure import spread

ROOT = Path(__file__).parents[2]
PACKAGES = "gradtx", "optax", "jax", "jaxlib", "numpy", "torch"


def versions() -> dict[str, str]:
    """Of Python and of the packages that are there."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    if "gradtx" not in found:  # run from a checkout
        text = (ROOT / "pyproject.toml").read_text()
        match = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
        found["gradtx"] = match[1] if match else "unknown"
    return found


def describe(device: jax.Device) -> dict[str, Any]:
    return {
        "platform": device.platform,
        "kind": device.device_kind,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def slug(device: jax.Device) -> str:
    """The device's kind as the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", device.device_kind.lower()).strip("-")


def parity(timeout: float = 180.0) -> dict[str, Any]:
    """Run the tests against Optax on whatever device JAX finds first."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_PLATFORMS"}
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # this process has arrays
    tests = ["tests/reference/test_peers.py", "-o", "addopts=", "-p", "no:xdist", "-q"]
    # A driver's warning is no difference of numbers.
    command = [sys.executable, "-m", "pytest", *tests, "-W", "default"]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return {"passed": False, "summary": f"not done after {timeout:.0f} s"}
    lines = (done.stdout + done.stderr).strip().splitlines() or ["no output"]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"passed": done.returncode == 0, "summary": lines[-1], "failed": failed}


def torch_adamw(tree: Any, samples: int = 30) -> dict[str, Any]:
    """Time torch's fused AdamW on the same shapes, with events of the device.

    Returns:
      `milliseconds` a step, or `skipped`, the reason why there are none.
    """
    if util.find_spec("torch") is None:
        return {"skipped": "torch is not installed"}
    import torch

    if not torch.cuda.is_available():
        return {"skipped": "torch has no CUDA device"}
    shapes = [leaf.shape for leaf in jax.tree.leaves(tree)]
    params = [torch.randn(s, device="cuda").requires_grad_() for s in shapes]
    for p in params:
        p.grad = 0.01 * torch.randn_like(p)
    optimizer = torch.optim.AdamW(params, lr=1e-3, weight_decay=1e-4, fused=True)
    for _ in range(3):
        optimizer.step()
    times = []
    for _ in range(samples):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(10):
            optimizer.step()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 10)
    found = {
        "optimizer": "torch.optim.AdamW(fused=True)",
        "dtype": "float32",
        "parameters": trees.size(tree),
        "milliseconds": spread(np.asarray(times)),
    }
    del params, optimizer
    torch.cuda.empty_cache()
    return found
