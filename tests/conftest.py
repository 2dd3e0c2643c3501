"""How the tests run JAX, set before it starts: many small programs, each run once."""

import gc
import os
import tempfile
from importlib.metadata import version

_FLAGS = {
    # Eight devices on one CPU, for the tests that want several.
    "--xla_force_host_platform_device_count": "8",
    # LLVM optimizes nothing: it takes longer than it saves. What XLA itself does, to
    # fuse and to allocate, is the same.
    "--xla_backend_optimization_level": "0",
    # LLVM gets a program whole, not in up to 32 parts: ours are too small to divide.
    "--xla_cpu_parallel_codegen_split_count": "1",
}
if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):  # gone since
    # An older way to write loops, in half the time.
    _FLAGS["--xla_cpu_use_fusion_emitters"] = "false"
for _flag, _value in _FLAGS.items():
    if _flag not in os.environ.get("XLA_FLAGS", ""):
        _given = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{_given} {_flag}={_value}".strip()

# What one process has compiled serves the others, and a program that is traced anew.
# For this run only, but where a folder is given.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _folder = tempfile.TemporaryDirectory(prefix="gradtx-")  # gone at the end
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _folder.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# Programs say nothing of the lines they come from: no test reads it, all wait for it.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")

# Millions of objects live to the end, as caches and tests: to go through them is slow.
gc.set_threshold(100_000, 50, 50)


def pytest_collection_finish():
    """The tests themselves are no garbage."""
    gc.freeze()
