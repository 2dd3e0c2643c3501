"""What the site makes of the code: names, docstrings, tables, and the gate."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import gradtx

ROOT = Path(__file__).parents[2]
EXTENSIONS = ROOT / "docs/_ext"
# Rows of costs.json under other names than the optimizer's.
ROWS = {"momentum": "sgd(momentum=0.9)"}


@pytest.fixture(scope="module")
def site():
    """The modules of the site's extensions."""
    names = (
        "algorithms", "docstrings", "equations", "inline", "notation", "properties",
        "public", "reference", "updates", "updates_norms", "updates_parts", "wrapping",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXTENSIONS)
        yield SimpleNamespace(**{n: importlib.import_module(n) for n in names})
        for name in names:
            sys.modules.pop(name)


@pytest.mark.parametrize("space", ["", "tree", "schedules", "losses", "distributed"])
def test_names_are_those_of_the_package(site, space):
    module = getattr(gradtx, space) if space else gradtx
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    found = (n.path.rpartition(".") for n in site.public.names())
    assert {last for first, _, last in found if first == space} == public


def test_an_entry_is_the_own_and_shortest_name(site):
    same = {n.path: n.same_as for n in site.public.names() if n.same_as is not None}
    assert same["multi_transform"] == "partition"
    assert "global_norm" not in same  # a function of its own: it takes `updates`
    assert same["losses.l2_loss"] == "l2_loss"
    assert "Updates" not in same  # the alias of a type is nobody's other name


def test_fields_have_their_comments(site):
    assert site.public.fields(gradtx.MultiStepsState)["acc_grads"].startswith(
        "Sum of the gradients, shaped like params, in accumulator_dtype."
    )
    assert site.public.fields(gradtx.EmptyState) == {}


def test_the_gate_names_what_is_missing(site):
    entries = {f"gradtx.{n.path}" for n in site.public.names()}
    assert site.reference.missing(entries) == []
    gone = {"gradtx.adam", "gradtx.tree.get", "gradtx.ScaleByAdamState"}
    assert {f"gradtx.{n}" for n in site.reference.missing(entries - gone)} == gone


def test_a_build_without_an_entry_fails(tmp_path):
    (tmp_path / "conf.py").write_text(
        f"import sys\nsys.path[:0] = [{str(EXTENSIONS)!r}, {str(ROOT)!r}]\n"
        'extensions = ["myst_parser", "reference"]\n'
    )
    (tmp_path / "index.md").write_text("# Losses\n\n```{public} gradtx.losses\n```\n")
    build = [sys.executable, "-m", "sphinx", "-q", "-b", "html", ".", "out"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    [said] = re.findall(r"no entry in the API reference for (.*?)\. Give", done.stderr)
    missing = said.split(", ")
    assert {"adam", "tree.get", "MaskedState"} <= set(missing)
    assert not {"l2_loss", "losses.l2_loss"} & set(missing)


def test_every_optimizer_has_a_page(site):
    pages = site.algorithms.modules()
    assert pages["adam"] == ["adam"]
    listed = [name for names in pages.values() for name in names]
    assert sorted(listed) == sorted(site.properties.optimizers())


def test_every_algorithm_has_a_source_and_its_whole_update(site):
    pages = site.algorithms.modules()
    assert set(site.algorithms.PAPERS) == set(pages)
    shown = {call.partition("(")[0] for call in site.updates.UPDATES}
    assert shown == {name for names in pages.values() for name in names}


def test_the_table_is_the_lectures(site):
    """Yes and no for six algorithms, as in More Optimization."""
    found = {
        row.shown: tuple(row.tracks)
        for name in ("sgd", "adagrad", "rmsprop", "adam")
        for row in site.properties.rows(name)
    }
    # First moment, second moment, leaky second moment, bias correction.
    assert found["sgd"] == (False, False, False, False)
    assert found["sgd(momentum=0.9)"] == (True, False, False, False)
    assert found["sgd(momentum=0.9, nesterov=True)"] == (True, False, False, False)
    assert found["adagrad"] == (False, True, False, False)
    assert found["rmsprop"] == (False, True, True, False)
    assert found["adam"] == (True, True, True, True)


def test_an_option_shows_in_what_is_tracked(site):
    tracks = site.properties.tracks
    assert not tracks(gradtx.adam(0.1, bias_correction=False)).corrected
    assert tracks(gradtx.rmsprop(0.1, bias_correction=True)).corrected
    assert tracks(gradtx.lion(0.1)) == (True, False, False, False)


def test_costs_are_those_of_the_benchmarks(site):
    """Bytes moved on one array are what the benchmarks count on GPT-2's tree."""
    kept = json.loads((ROOT / "tests/benchmarks/costs.json").read_text())["rows"]
    for key, call in {**ROWS, "adamw": "adamw", "lion": "lion"}.items():
        rows = site.properties.rows(call.partition("(")[0])
        [row] = [row for row in rows if row.shown == call]
        expected = kept[key]["gradtx step"]
        assert (row.moved, row.bytes) == (expected["bytes"], expected["state"])


def test_the_optimizer_stands_before_its_steps(site):
    prefix = ["gradtx.optimizers.adam"]
    names = [n for n in site.public.names() if n.home == prefix[0]]
    names.sort(key=lambda n: site.reference._place(n, prefix))
    assert [n.path for n in names][:3] == ["adam", "scale_by_adam", "ScaleByAdamState"]


def test_experiments_are_found_by_their_scripts(site):
    results = ROOT / "docs/results"
    assert set(site.algorithms.experiments(["adamw", "nadamw"], results)) == {"decay"}
    assert set(site.algorithms.experiments(["newton"], results)) == {"full_batch"}
    assert site.algorithms.experiments(["lion"], results) == {}


def test_code_breaks_between_words_only(site):
    text = (
        '<td><code class="literal"><span class="pre">f(a_b=1e-3,</span></code> a_b</td>'
    )
    assert site.wrapping.broken(text) == text.replace(
        "f(a_b=1e-3", "f(<wbr>a_<wbr>b=<wbr>1e-3"
    )
    name = '<code class="literal">AbcDef</code>'
    assert site.wrapping.broken(name) == name.replace("cD", "c<wbr>D")
    heading = '<h1>a_b<a class="headerlink" href="#a_b">'
    assert site.wrapping.broken(heading) == heading.replace(">a_b", ">a_<wbr>b")
    number = '<code class="literal">0.25</code>'
    assert site.wrapping.broken(number) == number


@pytest.mark.parametrize(
    ("text", "set_as"),
    [
        ("The root of nu_t, as it is.", "The root of {formula}`nu_t`, as it is."),
        (
            "With `x`, u_t = b1 mu^_t / (1 - b1^t).",
            "With `x`, {formula}`u_t = b1 mu^_t / (1 - b1^t)`.",
        ),
        ("a_t (and p_0)", "{formula}`a_t` (and {formula}`p_0`)"),
        (
            "min(1, 1 / sqrt(t)), a g_t",
            "{formula}`min(1, 1 / sqrt(t))`, a {formula}`g_t`",
        ),
        ("r_0 = a |g|_2", "{formula}`r_0 = a |g|_2`"),
        ("by sqrt(1 - decay), (a decay)", "by {formula}`sqrt(1 - decay)`, (a decay)"),
        ("the mean m_t; b^", "the mean {formula}`m_t`; b^"),
        ("`p_t`, max_norm, 3 - 1 and a - b", "`p_t`, max_norm, 3 - 1 and a - b"),
    ],
)
def test_formulas_in_sentences_are_set(site, text, set_as):
    assert site.inline.typeset(text) == set_as


def test_a_list_of_two_lines_an_item_is_one(site):
    text = "- One\n  `a` more.\n- Two.\n\nAfter."
    assert site.docstrings.markdown(text) == "- One `a` more.\n- Two.\n\nAfter."


def test_the_learning_rate_is_not_the_letter_of_alpha(site):
    shown = site.equations.html("p_t = learning_rate alpha g_t")
    assert shown.count("α") == 1
    assert shown.count("η") == 1
    assert "α" in site.equations.html("p_t = learning_rate g_t")


def test_docstrings_become_markdown(site):
    text = """One line.

        u_t = a * g_t,   t = 1

    For b1 < b2 and `x * y`. State: one array.

    Args:
      a, b: numbers * of
        two lines.
      c,
        d: more.
      **slots: the rest.

    Raises:
      ValueError: always.

    Example:
      >>> 1 + 1

      2
    """
    assert site.docstrings.markdown(text) == (
        "One line.\n\n"
        "```{equations}\nu_t = a * g_t,   t = 1\n```\n\n"
        "For b1 \\< b2 and `x * y`. \n\n**State**: one array.\n\n"
        "**Args**\n\n"
        "- **`a`**, **`b`**: numbers \\* of two lines.\n"
        "- **`c`**, **`d`**: more.\n"
        "- **`**slots`**: the rest.\n\n"
        "**Raises**\n\n- **`ValueError`**: always.\n\n"
        "**Example**\n\n```pycon\n>>> 1 + 1\n\n2\n```"
    )
