"""The package as a whole: layers, sizes, dependencies, documentation."""

import ast
import doctest
import importlib
import inspect
import re
import sys
import tomllib
from pathlib import Path

import jax
import pytest

import gradtx
from gradtx.testing import BAD_VALUES, PREPARE, discover, sample

ROOT = Path(gradtx.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MODULES = [
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )
    for path in FILES
]

# What a package may import besides itself: those in lines above, but for losses.
LAYERS = [
    {"core"},
    {"tree"},
    {
        "schedules",
        "transforms",
        "projections",
        "curvature",
        "microbatching",
        "perturbations",
        "assignment",
    },
    {"linesearch", "precision"},
    {"optimizers"},
    {"matrix"},
    {"wrappers"},
    {"aggregating", "interop", "sweeping"},
    {"distributed", "plot"},
    {"checking"},
    {"testing"},
    {"optax"},
]
BELOW = {
    package: set().union(*LAYERS[:i])
    for i, layer in enumerate(LAYERS)
    for package in layer
} | {"losses": {"core"}}
DEPENDENCIES = {"jax", "numpy", "chex", "gradtx"}


def imports(path):
    """Every module that a file imports, also inside of functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from gradtx import tree` imports gradtx.tree.
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


@pytest.mark.parametrize("path", FILES, ids=MODULES)
def test_imports_go_down_the_layers(path):
    package, *rest = path.relative_to(ROOT).parts
    # The package itself, and its users.
    if not rest or package in ("_exports", "optax", "testing"):
        return
    for name in imports(path):
        first, *parts = name.split(".")
        if first == "gradtx":
            allowed = {package} | BELOW[package]
            assert parts[0] in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=MODULES)
def test_nothing_else_is_needed(path):
    roots = {name.split(".")[0] for name in imports(path)}
    others = roots - DEPENDENCIES - set(sys.stdlib_module_names)
    allowed = {"optax"} if path.name == "interop.py" else set()
    allowed |= {"matplotlib"} if path.parent.name == "plot" else set()
    assert others <= allowed


def test_a_file_has_at_most_350_lines():
    here = Path(__file__).parents[1]
    sizes = {
        path: len(path.read_text().splitlines())
        for path in [*FILES, *here.rglob("*.py")]
    }
    assert not {path: n for path, n in sizes.items() if n > 350}


def test_packages_of_one_file_an_algorithm_have_an_empty_init():
    for package in (
        "_exports",
        "checking",
        "core",
        "interop",
        "linesearch",
        "optimizers",
        "precision",
        "sweeping",
        "transforms",
        "wrappers",
    ):
        assert not (ROOT / package / "__init__.py").read_text()


@pytest.mark.parametrize("module", MODULES)
def test_examples_do_what_they_say(module):
    results = doctest.testmod(
        importlib.import_module(module),
        extraglobs={"gradtx": gradtx, "jax": jax},
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert results.failed == 0


def test_the_version_is_written_once():
    assert re.fullmatch(r"\d+\.\d+\.\d+", gradtx.__version__)
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "gradtx/__init__.py"
    assert f"## {gradtx.__version__}" in (ROOT.parent / "CHANGELOG.md").read_text()


FUNCTIONS = {
    name: value
    for name, value in vars(gradtx).items()
    if inspect.isfunction(value) and not name.startswith("_")
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_has_an_example(name):
    text = inspect.getdoc(FUNCTIONS[name]) or ""
    assert ">>>" in text


@pytest.mark.parametrize("name", discover(gradtx))
def test_a_docstring_says_what_an_algorithm_costs_and_refuses(name):
    factory = discover(gradtx)[name]
    text = inspect.getdoc(factory) or ""
    args, kwargs = sample(factory)
    params = PREPARE.get(name, lambda p: p)({"w": jax.numpy.ones(3)})
    if jax.tree.leaves(factory(*args, **kwargs).init(params)):
        assert "state" in text.lower(), "what does the state cost?"
    if set(inspect.signature(factory).parameters) & set(BAD_VALUES):
        assert "Raises:" in text
