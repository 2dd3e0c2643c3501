"""The script of docs/pytorch_script.md, run by PyTorch once.

python -m tests.reference.torch_script     runs its blocks and writes the file
"""

import json
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "pytorch_script.md"
FILE = Path(__file__).with_suffix(".json")


def blocks() -> tuple[str, str, str]:
    """What both share, the script in PyTorch, and its port."""
    found = re.findall(r"^```(python|py)\n(.*?)```", PAGE.read_text(), re.S | re.M)
    assert [language for language, _ in found] == ["python", "py", "python"]
    shared, theirs, ours = (code for _, code in found)
    return shared, theirs, ours


def record() -> dict[str, Any]:
    """The loss of each micro-batch; in the end the parameters and their averages."""
    import torch  # only who records needs it

    torch.set_default_dtype(torch.float64)
    shared, theirs, _ = blocks()
    page: dict[str, Any] = {"__name__": "page"}
    exec(shared + theirs, page)
    return {
        "torch": torch.__version__,
        "losses": [_rounded(x) for x in page["losses"]],
        "params": _plain(page["model"]),
        "averages": _plain(page["average"].module),
        "saved": _saved(page["optimizer"].state_dict()),
    }


def _rounded(x: float) -> float:
    return float(f"{x:.10g}")


def _plain(model: Any) -> dict[str, Any]:
    return {
        name: [_rounded(x) for x in p.detach().flatten().tolist()]
        for name, p in model.named_parameters()
    }


def _saved(tree: Any) -> Any:
    """A state_dict as JSON takes it."""
    if isinstance(tree, dict):
        return {key: _saved(x) for key, x in tree.items()}
    if isinstance(tree, list | tuple):
        return [_saved(x) for x in tree]
    tree = tree.tolist() if hasattr(tree, "tolist") else tree
    if isinstance(tree, list):
        return _saved(tree)
    return _rounded(tree) if type(tree) is float else tree


if __name__ == "__main__":
    rows = [f" {json.dumps(key)}: {json.dumps(x)}" for key, x in record().items()]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    print(f"wrote {FILE.name}")
