"""Libraries that use Optax, run on Optax and on gradtx: are the numbers the same?

    pip install blackjax dynamax evosax flax flowjax flowMC gpjax jaxopt \
        netket numpyro optimistix tfp-nightly optax chex
    python -m tests.compat.programs     runs each twice, and writes the page

Each script here uses a library as its users do, and prints numbers. It is run by
`python` and by `python -m gradtx.optax --report`.
"""

import json
import re
import subprocess
import sys
import textwrap
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "programs.md"
# Rounding, which hundreds of steps have multiplied; relative to the largest number.
CLOSE = 1e-4
DISTRIBUTIONS = {
    "flax_nnx": "flax",
    "flax_train_state": "flax",
    "tensorflow_probability": "tfp-nightly",
}


def run(script: Path, *options: str) -> tuple[list[float], str]:
    """The numbers that a script prints last, and what else it says."""
    command = [sys.executable, "-W", "ignore", *options, str(script)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(options)} {script.name}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def distribution_of(script: Path) -> str:
    """The package that a script uses."""
    name = script.stem.removeprefix("on_")
    return DISTRIBUTIONS.get(name, name).replace("_", "-")


def row(script: Path) -> str:
    """A line of the table: what was run, and how far the numbers are apart."""
    theirs, _ = run(script)
    ours, report = run(script, "-m", "gradtx.optax", "--report")
    largest = max(map(abs, theirs))
    apart = max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / largest
    distribution = distribution_of(script)
    said = " ".join(report.split("gradtx.optax: the program asked")[1].split())
    answered = re.search(r"gradtx answered (\d+)", said)
    others = re.findall(r"(?:Optax \S*|nobody) answered \d+: [\w., ]*", said)
    assert apart < CLOSE, f"{script.name}: {apart}"
    doc = script.read_text().split('"""')[1].split(": ", 1)[1].rstrip(".")
    names = "; ".join([answered.group(1) if answered else "0", *others])
    return f"| {distribution} | {doc} | {names} | {apart:.0e} |"


def main() -> None:
    scripts = sorted(HERE.glob("on_*.py"))
    rows = []
    for script in scripts:
        rows.append(row(script))
        print(rows[-1], flush=True)
    text = PAGE.read_text()
    head = text[: text.index("| library")]
    used = ["jax", "optax", *dict.fromkeys(map(distribution_of, scripts))]
    versions = ", ".join(f"{name} {version(name)}" for name in used)
    table = "| library | what is run | names | apart |\n"
    table += "|---|---|---|---|\n" + "\n".join(rows)
    PAGE.write_text(f"{head}{table}\n\n{textwrap.fill(f'With {versions}.', 118)}\n")


if __name__ == "__main__":
    main()
