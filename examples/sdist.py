"""Download a source distribution with pip without running anything that is in it.

    python examples/sdist.py NAME==VERSION

pip asks every source distribution for its metadata, also where it only downloads it,
and so runs its setup.py. Here pip meets a build system of ours that answers in its
place, so that an old setup.py with requirements of its own is never started.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

# What pip asks a build system for, answered from the environment.
BUILD_SYSTEM = """\
import os
import sys
from pathlib import Path


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    name, version = os.environ["SDIST"].split("==")
    folder = Path(metadata_directory) / f"{name}-{version}.dist-info"
    folder.mkdir()
    metadata = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
    (folder / "METADATA").write_text(metadata)
    (folder / "WHEEL").write_text("")
    return folder.name


__legacy__ = sys.modules[__name__]  # what pip uses where there is no pyproject.toml
"""


def main(requirement: str) -> int:
    """Leave the archive in the working directory; return pip's exit status."""
    with tempfile.TemporaryDirectory() as stub:
        package = Path(stub) / "setuptools"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "build_meta.py").write_text(BUILD_SYSTEM)
        # As a variable, since newer versions of pip have no such option any more.
        settings = {"PYTHONPATH": stub, "SDIST": requirement, "PIP_USE_PEP517": "1"}
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        options = ["--no-binary", ":all:", "--no-build-isolation"]
        command = [*pip, *options, requirement]
        return subprocess.run(command, env=os.environ | settings).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
