"""What a state_dict of PyTorch holds: its parameters, their groups and their states."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core.trees import leaves_of, paths_of

# By the options that a group has, and no group of another optimizer.
_KINDS = {"Adam": ("betas", "amsgrad"), "SGD": ("dampening",), "RMSprop": ("centered",)}


class Parameter:
    """One of PyTorch's: its group, its state, and what tx says of it."""

    def __init__(self, path: str, number: int, group: Any, where: str, state: Any):
        self.name = f"names{path}"
        self.group = group
        self.where = where
        self.state = {key: as_array(x) for key, x in state.items() if x is not None}
        self.says: dict[str, tuple[Any, ...]] = {}  # from option to what may be there
        self.number = number

    @property
    def kind(self) -> str:
        for kind, options in _KINDS.items():
            if all(name in self.group for name in options):
                return kind
        raise error(
            f"{self.where} is not of Adam, AdamW, SGD or RMSprop; it has "
            f"{[*self.group]}."
        )

    def get(self, key: str) -> Any:
        if key not in self.state:
            raise error(
                f"the state of {self.name}, parameter {self.number}, has no {key}, "
                f"only {[*self.state]}."
            )
        return self.state[key]


Owned = list[Parameter | None]  # the leaves of names; None for those of others


def error(text: str) -> ValueError:
    return ValueError(f"from_torch: {text}")


def as_array(x: Any) -> np.ndarray:
    """An array of a tensor, wherever it lies, or of what is one already."""
    for method in ("detach", "cpu"):
        x = getattr(x, method, lambda x=x: x)()
    if "bfloat16" in str(getattr(x, "dtype", "")) and hasattr(x, "float"):
        x = x.float()  # NumPy has none
    return np.asarray(x)


def parameters_of(state_dict: Any, names: Any) -> Owned:
    """PyTorch's parameters in the order of names' leaves."""
    groups, states = state_dict["param_groups"], state_dict["state"]
    places: dict[Any, tuple[int, Any]] = {}
    for i, group in enumerate(groups):
        keys = group.get("param_names") or group["params"]
        for key, number in zip(keys, group["params"], strict=True):
            places[key] = places[number] = number, i
    found: Owned = []
    for path, key in paths_of(names):
        if key is None:
            found.append(None)
            continue
        if key not in places:
            known = [*places]
            hint = (
                ""
                if any(isinstance(x, str) for x in known)
                else (
                    ": the optimizer was not given names, so give numbers, as in "
                    "{name: i for i, (name, _) in enumerate(model.named_parameters())}"
                )
            )
            raise error(f"names{path} is {key!r}, PyTorch has {known[:20]}{hint}.")
        number, i = places[key]
        state = states.get(number, states.get(str(number), {}))
        where = f"param_groups[{i}]"
        found.append(Parameter(path, number, groups[i], where, state))
    numbers = [p.number for p in found if p is not None]
    for number, _ in places.values():
        if numbers.count(number) != 1:
            text = "has no leaf" if number not in numbers else "is at several leaves"
            raise error(f"parameter {number} of the state_dict {text} of names.")
    return found


def shapes_of(owned: Owned, names: Any, params: Any) -> Any:
    """Parameters as shapes: as given, or as the state is shaped."""
    treedef = leaves_of(names)[1]
    given = [None] * len(owned)
    if params is not None:
        if leaves_of(params)[1] != treedef:
            raise error(f"names is a tree {treedef}, params is {leaves_of(params)[1]}.")
        given = leaves_of(params)[0]
    shapes = []
    for p, leaf in zip(owned, given, strict=True):
        if p is None:
            shapes.append(None)
            continue
        arrays = {key: x for key, x in p.state.items() if key != "step"}
        first = next(iter(arrays.values()), np.zeros((), np.float32))
        like = first if leaf is None else leaf
        for key, x in arrays.items():
            if x.shape != jnp.shape(like):
                raise error(
                    f"{key} of {p.name} has shape {x.shape}, the parameter has "
                    f"{jnp.shape(like)}. PyTorch's layers may have their axes in "
                    f"another order: turn the state as you turn the weights."
                )
        dtype = jax.dtypes.canonicalize_dtype(jnp.result_type(like))
        shapes.append(jax.ShapeDtypeStruct(jnp.shape(like), dtype))
    return treedef.unflatten(shapes)


def is_among(value: Any, values: tuple[Any, ...]) -> bool:
    def same(x: Any) -> bool:
        if x is None or isinstance(x, str):
            return x == value
        given, wanted = (np.asarray(a, float) for a in (as_array(value), x))
        return given.shape == wanted.shape and np.allclose(given, wanted, 1e-6, 1e-12)

    return any(map(same, values))
