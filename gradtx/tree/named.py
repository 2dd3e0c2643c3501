"""States by name: stored, looked into, and restored into an edited transformation."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, overload

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.tree.names import names_of

FORMAT = "__gradtx__"  # the entry that says how to read the others
VERSION = 1
_E5M2 = "float8_e5m2"
_SHOWN = 10  # names in an error


class NamedReport(NamedTuple):
    """How saved entries fit a state; it prints as a list of names."""

    matched: tuple[str, ...]  # restored
    new: tuple[str, ...]  # not among the saved: as `like` has them
    dropped: tuple[str, ...]  # saved, but of no use in this state
    changed: dict[str, str]  # of another shape or dtype: as `like` has them
    moved: dict[str, str]  # by `carry_over` from another name: that one

    def __str__(self) -> str:
        groups: list[tuple[str, Sequence[str]]] = [("matched", self.matched)]
        if self.moved:
            was = [f"{name}: was {old}" for name, old in self.moved.items()]
            groups += [("moved", was)]
        changed = [f"{name}: {how}" for name, how in self.changed.items()]
        groups += [("new", self.new), ("dropped", self.dropped), ("changed", changed)]
        return "\n".join(
            f"{title}: {len(names)}" + "".join(f"\n  {name}" for name in names)
            for title, names in groups
        )


def to_named(tx: Any, state: Any) -> dict[str, Any]:
    """The arrays of a state, each under a name that lasts.

    A name has three parts: the transformation that the array belongs to, the field of
    its state, and the parameter's own path, as in `adamw/mu/encoder/kernel` or
    `adamw/count`. Chains and wrappers have no part in it, so that another member in a
    chain, or `MultiSteps` around it, renames nothing.

    - A step that many optimizers share is named within its optimizer:
      `adamw/scale_by_learning_rate/count`.
    - Names given in `named_chain` and labels of `partition` come first.
    - A second transformation of one name is numbered, `trace.1`. The number goes by its
      place; with `named_chain` it has a name that stays.
    - A transformation of another library is named after the function that made it, and
      what is in its state by its place.
    - A `/` in a key is written `%2F`.

    Args:
      tx: the transformation.
      state: its state, or a tree of shapes like it (`jax.eval_shape(tx.init, params)`).

    Returns:
      From name to array, the state's own: store them before the next step that
      donates the state. Random keys are given as their data. `__gradtx__` is the
      format's version and the dtypes that plain NumPy files do not know, as UTF-8
      bytes of JSON.

    Raises:
      TypeError: `tx` is not a transformation, the state is not its own, or holds
        something else than arrays and numbers.
      ValueError: two leaves have one name.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> tx = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(0.1))
      >>> state = tx.init({"kernel": jnp.ones((3, 2))})
      >>> list(gradtx.tree.to_named(tx, state))
      ['adamw/count', 'adamw/mu/kernel', 'adamw/nu/kernel', '__gradtx__']
    """
    named: dict[str, Any] = {}
    dtypes: dict[str, str] = {}
    for name, leaf in zip(names_of(tx, state), jax.tree.leaves(state), strict=True):
        dtype = _dtype(name, leaf)
        if jnp.issubdtype(dtype, jax.dtypes.prng_key):
            dtypes[name] = f"key<{_key_impl(leaf)}>"
            leaf = _shaped(jax.random.key_data, leaf)
        elif np.dtype(dtype).isbuiltin != 1:  # as bfloat16: a file forgets which it is
            dtypes[name] = str(dtype)
            if dtypes[name] == _E5M2:  # NumPy writes it, and cannot read it
                leaf = _shaped(_as_bytes, leaf)
        named[name] = np.asarray(leaf) if _is_number(leaf) else leaf
    text = json.dumps({"version": VERSION, "dtypes": dtypes})
    return named | {FORMAT: np.frombuffer(text.encode(), np.uint8).copy()}


@overload
def from_named(
    tx: Any, named: Mapping[str, Any], like: Any, *, partial: Literal[False] = False
) -> Any: ...


@overload
def from_named(
    tx: Any, named: Mapping[str, Any], like: Any, *, partial: Literal[True]
) -> tuple[Any, NamedReport]: ...


def from_named(
    tx: Any, named: Mapping[str, Any], like: Any, *, partial: bool = False
) -> Any:
    """The state that `to_named` has taken apart, also for an edited transformation.

    Args:
      tx: the transformation; it may have changed since.
      named: what `to_named` gave, as stored and loaded again (`np.load` of an npz too).
      like: `tx.init(params)`, or a tree of shapes like it. Where its arrays are
        committed to devices, or its shapes have shardings, the restored arrays are
        put there; elsewhere arrays on several devices stay on these, and others go
        along with any.
      partial: whether to accept that not everything fits. What is new in the state or
        has another shape or dtype is then as in `like`, what has no place is left out.

    Returns:
      The state, in arrays of its own, which may be donated; with `partial`
      `(state, report)`.

    Raises:
      ValueError: entries that are new, dropped or changed, unless `partial`; all in a
        format that this version does not know.
      TypeError: `tx` is not a transformation, or `like` not its state.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> old, params = gradtx.lion(0.1), jnp.ones(2)
      >>> named = gradtx.tree.to_named(old, old.init(params))
      >>> tx = gradtx.chain(old, gradtx.ema(0.99))
      >>> state, report = gradtx.tree.from_named(
      ...     tx, named, tx.init(params), partial=True
      ... )
      >>> print(report)
      matched: 2
        lion/count
        lion/mu
      new: 2
        ema/count
        ema/ema
      dropped: 0
      changed: 0
    """
    dtypes = _read_format(named)
    names, (leaves, treedef) = names_of(tx, like), jax.tree.flatten(like)
    known = {*names, FORMAT}
    found: dict[str, Any] = {}
    changed: dict[str, str] = {}
    for name, leaf in zip(names, leaves, strict=True):
        if name in named:
            value = _decoded(named[name], dtypes.get(name))
            saved, wanted = type_of(name, value), type_of(name, leaf)
            if saved == wanted:
                found[name] = value
            else:
                changed[name] = f"saved as {saved}, here {wanted}"
    report = NamedReport(
        matched=tuple(found),
        new=tuple(name for name in names if name not in named),
        dropped=tuple(name for name in named if name not in known),
        changed=changed,
        moved={},
    )
    if not partial and (report.new or report.dropped or changed):
        raise ValueError(
            f"from_named: what was saved is not the state of {tx!r}:{problems(report)}"
            f"\nGive partial=True to take what matches and have the rest from like."
        )
    for name, leaf in zip(names, leaves, strict=True):
        if name not in found and isinstance(leaf, jax.ShapeDtypeStruct):
            raise ValueError(
                f"from_named: {name} was not saved like this, and like has only its "
                f"shape. Give like=tx.init(params)."
            )
    state = treedef.unflatten(
        placed(found.get(name, leaf), leaf)
        for name, leaf in zip(names, leaves, strict=True)
    )
    return (state, report) if partial else state


def problems(report: NamedReport) -> str:
    changed = [f"{name} ({how})" for name, how in report.changed.items()]
    text = ""
    for title, names in (
        ("new, not among the saved", report.new),
        ("saved, without a place here", report.dropped),
        ("changed", changed),
    ):
        if names:
            more = len(names) - _SHOWN
            text += f"\n  {title}: {', '.join(names[:_SHOWN])}"
            text += f", and {more} more" if more > 0 else ""
    return text


def _read_format(named: Mapping[str, Any]) -> dict[str, str]:
    """The dtypes that a file may not know, by name."""
    if FORMAT not in named:
        raise ValueError(
            f"from_named: there is no entry {FORMAT!r}: give all that to_named gave."
        )
    header = json.loads(np.asarray(named[FORMAT]).tobytes())
    if header["version"] != VERSION:
        raise ValueError(
            f"from_named: the format is version {header['version']}, this gradtx knows "
            f"version {VERSION}. Use the gradtx that saved it, or a newer one."
        )
    return header["dtypes"]


def _decoded(value: Any, dtype: str | None) -> Any:
    """An entry as the array that it was."""
    if dtype is not None and dtype.startswith("key<"):
        return jax.random.wrap_key_data(jnp.array(value), impl=dtype[4:-1])
    if dtype == _E5M2 and value.dtype == np.uint8:
        return jax.lax.bitcast_convert_type(value, jnp.float8_e5m2)
    if dtype is not None and value.dtype.type is np.void:
        return value.view(dtype)
    return value


def placed(value: Any, like: Any) -> Any:
    """A copy (donating the one must not harm the other) of the kind of the other."""
    if _is_number(like):
        return type(like)(np.asarray(value).item())
    if isinstance(like, np.ndarray | np.generic):
        return np.array(value)
    asked = isinstance(like, jax.ShapeDtypeStruct) or like.committed
    if asked and like.sharding is not None:
        # Copied then: device_put reuses buffers, with may_alias=False too, where some
        # of the devices have the same part already.
        return jnp.copy(jax.device_put(value, like.sharding))
    if isinstance(value, jax.Array) and len(value.sharding.device_set) > 1:
        return jnp.copy(value)
    # By way of NumPy: an array that is committed to one device would not go together
    # with parameters on several.
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        data = np.asarray(jax.random.key_data(value))
        return jax.random.wrap_key_data(jnp.array(data), impl=_key_impl(value))
    return jnp.array(np.asarray(value))


def _is_number(leaf: Any) -> bool:
    return type(leaf) in (bool, int, float, complex)


def _dtype(name: str, leaf: Any) -> Any:
    leaf = np.asarray(leaf) if _is_number(leaf) else leaf
    if not isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct):
        raise TypeError(f"{name} is {leaf!r:.60}, not an array or a number.")
    return leaf.dtype


def type_of(name: str, leaf: Any) -> str:
    return f"{_dtype(name, leaf)}{list(np.shape(leaf))}"


def _as_bytes(x: Any) -> jax.Array:
    return jax.lax.bitcast_convert_type(x, jnp.uint8)


def _shaped(fn: Callable[[Any], Any], x: Any) -> Any:
    """What the function gives for an array, or the shape of it for a shape."""
    return jax.eval_shape(fn, x) if isinstance(x, jax.ShapeDtypeStruct) else fn(x)


def _key_impl(key: Any) -> str:
    found: list[Any] = []  # traced, so that a shape will do
    jax.eval_shape(lambda k: found.append(jax.random.key_impl(k)), key)
    return str(found[0])
