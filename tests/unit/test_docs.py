"""The README and the guides do what they say."""

import re
import sys
import types
from pathlib import Path

import pytest

from examples.pictures import PICTURES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Pages that the build of the site makes are made of docstrings, which run elsewhere.
MADE = ("algorithms/", "_pictures/")
FOUND = [
    path
    for path in sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
    if not path.startswith(MADE)
]
PAGES = ["README.md", *(f"docs/{path}" for path in FOUND)]


def blocks(page, languages):
    """Pairs of language and code, in the order of the page."""
    text = (ROOT / page).read_text()
    return re.findall(rf"^```({languages})\n(.*?)```", text, flags=re.DOTALL | re.M)


@pytest.mark.parametrize("page", PAGES)
def test_code_runs_from_top_to_bottom(page, capsys, monkeypatch):
    script = types.ModuleType("page")  # a module, so that what it defines pickles
    monkeypatch.setitem(sys.modules, "page", script)
    printed = [""]
    for language, code in blocks(page, "python|output"):
        if language == "output":  # of the block before
            assert printed[-1].strip() == code.strip()
            continue
        exec(compile(code, page, "exec"), vars(script))
        printed.append(capsys.readouterr().out)
    if page == "README.md":
        text = "".join(printed)
        assert float(text.split()[0]) < 1e-4  # the quickstart learns
        assert "chain(scale_by_sign(0.95), scale_by_learning_rate(0.01))" in text


def test_own_transformation_takes_fifteen_lines():
    [code] = [b for _, b in blocks("README.md", "python") if "@gradtx.transf" in b]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 15


def test_readme_has_the_two_commands():
    commands = [b.strip() for _, b in blocks("README.md", "bash")]
    assert commands == [
        'pip install ".[examples]" && python -m examples.mnist',
        'pip install ".[test]" && pytest',
    ]


def test_readme_makes_the_environment_before_it_installs():
    text = (ROOT / "README.md").read_text()
    [(_, code)] = blocks("README.md", "sh")
    assert "python3 -m venv .venv && . .venv/bin/activate" in code
    assert text.index(code) < text.index("pip install")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    folder = (ROOT / page).parent
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text()):
        path = (folder / target).resolve()
        if path.is_relative_to(DOCS) and str(path.relative_to(DOCS)).startswith(MADE):
            continue  # not there before a build, which checks it
        assert path.exists(), target


def test_pictures_are_those_that_a_build_draws():
    named = {
        name
        for page in FOUND
        for name in re.findall(r"_pictures/([\w.]+)\)", (DOCS / page).read_text())
    }
    assert "saddle.gif" in named
    assert {name.removesuffix(".png") for name in named} <= set(PICTURES)


def test_there_are_pages():
    assert len(PAGES) > 20
