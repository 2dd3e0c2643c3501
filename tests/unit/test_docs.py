"""The README and the guides do what they say."""

import re
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "docs/benchmarks.md",
    "docs/checkpoints.md",
    "docs/coming_from_optax.md",
    "docs/guide.md",
    "docs/scaling.md",
]


def blocks(page, language):
    text = (ROOT / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_code_runs_from_top_to_bottom(page, capsys, monkeypatch):
    script = types.ModuleType("page")  # a module, so that what it defines pickles
    monkeypatch.setitem(sys.modules, "page", script)
    for code in blocks(page, "python"):
        exec(compile(code, page, "exec"), vars(script))
    if page == "README.md":
        printed = capsys.readouterr().out
        assert float(printed.split()[0]) < 1e-4  # the quickstart learns
        assert "chain(scale_by_sign(0.95), scale_by_learning_rate(0.01))" in printed


def test_own_transformation_takes_fifteen_lines():
    [code] = [b for b in blocks("README.md", "python") if "@gradtx.transf" in b]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 15


def test_readme_has_the_two_commands():
    commands = [b.strip() for b in blocks("README.md", "bash")]
    assert commands == [
        'pip install ".[examples]" && python -m examples.mnist',
        'pip install ".[test]" && pytest',
    ]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), target
