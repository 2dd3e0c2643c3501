"""The steps of a transformation in order, each with the parameters that it sees."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax

from gradtx.core.call import Call, show
from gradtx.core.compose import chain, named_chain, partition
from gradtx.core.describe import members_in
from gradtx.core.masking import given_mask, hide, spread_list
from gradtx.core.transformation import inner_of
from gradtx.core.trees import is_function, is_none, leaves_of
from gradtx.wrappers.flatten import flatten
from gradtx.wrappers.lookahead import LookaheadParams
from gradtx.wrappers.masked import masked
from gradtx.wrappers.split_complex import split_real_and_imaginary

# Their inner transformations see other arrays than the parameters.
RESHAPES = (flatten, split_real_and_imaginary)


@dataclass(frozen=True, eq=False)  # the same one twice in a chain is two
class Whole:
    """An optimizer that steps are parts of, or one step by itself."""

    tx: Any

    def was_given(self, tx: Any) -> bool:
        """Whether it is no part, but was written as an argument (of `maximize`)."""
        call = getattr(self.tx, "call", None)
        given = call.bound.arguments.items() if call else ()
        return any(tx is member for n, x in given for _, member in members_in(n, x))


@dataclass(frozen=True, eq=False)
class Step:
    """What is neither a chain nor an alias: a rule for arrays, or a wrapper."""

    tx: Any
    call: Call | None  # None for a pair from elsewhere
    arguments: dict[str, Any]  # of the call, by name, defaults filled in
    whole: Whole  # what it was written as
    around: tuple["Step", ...]  # the wrappers that it stands in, the outermost first
    before: tuple["Step", ...]  # those whose updates come to it
    seen: dict[str, Any]  # path to leaf, of the parameters that it is for
    params: Any  # the same as a tree, as masks are given it

    @property
    def factory(self) -> Any:
        return self.call.factory if self.call else None

    @property
    def where(self) -> str:
        """The call as it may have been written."""
        return cut(self.whole.tx)

    def shares(self, other: "Step") -> bool:
        return not self.seen.keys().isdisjoint(other.seen)

    def is_in(self, other: "Step") -> bool:
        return other in self.around


def cut(value: Any) -> str:
    """How it is written, cut where it is long."""
    text = show(value)
    return text if len(text) <= 72 else text[:69] + "..."


def steps_of(tx: Any, params: Any) -> list[Step]:
    """Every step, a wrapper before what is in it."""
    part = params.fast if isinstance(params, LookaheadParams) else params
    return list(_walk(inner_of("check: tx", tx), part, None, (), ()))


def _walk(
    tx: Any,
    params: Any,
    whole: Whole | None,
    around: tuple[Step, ...],
    before: tuple[Step, ...],
) -> Iterator[Step]:
    call = getattr(tx, "call", None)
    if whole and whole.was_given(tx):
        whole = None
    if getattr(tx, "made_of", None) is not None:
        yield from _walk(tx.made_of, params, whole or Whole(tx), around, before)
        return
    arguments = dict(call.bound.arguments) if call else {}
    members = [m for n, x in arguments.items() for m in members_in(n, x)]
    if call and call.factory in (chain, named_chain):
        for _, member in members:
            steps = tuple(_walk(member, params, whole, around, before))
            yield from steps
            before += steps
        return
    seen = {} if params is None else _paths(params)
    whole = whole or Whole(tx)
    step = Step(tx, call, arguments, whole, around, before, seen, params)
    yield step
    for (_, member), part in zip(members, _parts(step, len(members)), strict=True):
        yield from _walk(member, part, None, (*around, step), before)


def _parts(step: Step, n: int) -> list[Any]:
    """The parameters of each member of a wrapper."""
    params = step.params
    if params is None or step.factory in RESHAPES:
        return [None] * n
    if step.factory is masked:
        return [hide(params, given_mask(step.arguments["mask"], params))]
    if step.factory is partition:
        labels = labels_of(step)
        names = list(step.arguments["transforms"])
        treedef = leaves_of(params)[1]
        masks = ([label == name for label in labels] for name in names)
        return [hide(params, treedef.unflatten(mask)) for mask in masks]
    return [params] * n


def labels_of(step: Step) -> list[Any]:
    """The label of each leaf that a partition sees."""
    given, known = step.arguments["param_labels"], step.arguments["transforms"]
    labels = given(step.params) if is_function(given) else given

    def is_label(x: Any) -> bool:
        try:
            return is_none(x) or x in known
        except TypeError:  # no hash, as of a list
            return False

    return spread_list("param_labels", labels, step.params, is_label)


def _paths(params: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    named = jax.tree_util.keystr
    return {named(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def chosen(mask: Any, step: Step) -> list[str]:
    """The paths of the leaves that a mask chooses among those of a step."""
    return list(_paths(hide(step.params, given_mask(mask, step.params))))
