"""A run that goes on with an edited transformation."""

from collections import defaultdict
from typing import Any

import jax
import numpy as np

from gradtx.tree.named import (
    FORMAT,
    NamedReport,
    placed,
    problems,
    to_named,
    type_of,
)
from gradtx.tree.names import names_of


def carry_over(
    tx: Any, state: Any, new_tx: Any, params: Any, *, restart: bool = False
) -> tuple[Any, NamedReport]:
    """The state of an edited transformation, with what the old one still tells it.

    An entry goes over to the one of its own name (see `to_named`); where there is
    none, to the one of the same step, field and parameter, whichever optimizer or
    group it is in: `adam/mu/kernel` becomes `partition/matrices/adamw/mu/kernel`.
    So an average is added, a clip put in front, `adam` made `adamw`, groups made,
    moved and joined. What is new is as `new_tx.init(params)` has it: a schedule that
    was not there begins at its step 0.

    Args:
      tx: the transformation that made the state.
      state: its state.
      new_tx: the transformation to go on with.
      params: the parameters, as they are now.
      restart: whether entries that have changed (another shape or dtype, groups joined
        that were at different steps) begin anew instead of an error.

    Returns:
      `(state, report)`: the state, in arrays of its own, and which entries matched,
      moved, are new, dropped or changed; it prints as a list of names.

    Raises:
      ValueError: entries that have changed, unless `restart`; they are named.
      TypeError: a transformation that is none, or a state of another.

    Example:
      >>> import jax.numpy as jnp, gradtx
      >>> old, params = gradtx.adam(0.1), {"w": jnp.ones(2)}
      >>> new = gradtx.chain(gradtx.clip_by_global_norm(1.0), gradtx.adamw(0.1))
      >>> state, report = gradtx.tree.carry_over(old, old.init(params), new, params)
      >>> print(report)
      matched: 0
      moved: 3
        adamw/count: was adam/count
        adamw/mu/w: was adam/mu/w
        adamw/nu/w: was adam/nu/w
      new: 0
      dropped: 0
      changed: 0
    """
    old, like = to_named(tx, state), new_tx.init(params)
    del old[FORMAT]
    saved = dict(zip(old, jax.tree.leaves(state), strict=True))
    alike = defaultdict(list)  # from name without optimizer and group to whole names
    for name, plain in zip(saved, names_of(tx, state, plain=True), strict=True):
        alike[plain].append(name)

    leaves, treedef = jax.tree.flatten(like)
    names, plains = (names_of(new_tx, like, plain=x) for x in (False, True))
    sources = {name: [name] for name in names if name in saved}
    own, taken = set(sources), set(sources)
    for name, plain, leaf in zip(names, plains, leaves, strict=True):
        if name not in own:
            # A count may be many groups', what a parameter has goes to one place.
            shared = np.ndim(leaf) == 0
            sources[name] = [x for x in alike[plain] if shared or x not in taken]
            taken.update(sources[name])

    found: dict[str, Any] = {}
    changed: dict[str, str] = {}
    for name, leaf in zip(names, leaves, strict=True):
        given = [saved[x] for x in sources[name]]
        was, wanted = {type_of(name, x) for x in given}, type_of(name, leaf)
        if was - {wanted}:
            changed[name] = f"was {' and '.join(sorted(was))}, here {wanted}"
        elif not all(bool((x == given[0]).all()) for x in given[1:]):
            changed[name] = f"differs in {', '.join(sources[name])}"
        elif given:
            found[name] = given[0]
    used = {x for name in (*found, *changed) for x in sources[name]}
    report = NamedReport(
        matched=tuple(name for name in found if name in own),
        moved={n: " and ".join(sources[n]) for n in found if n not in own},
        new=tuple(name for name in names if name not in found | changed),
        dropped=tuple(name for name in saved if name not in used),
        changed=changed,
    )
    if changed and not restart:
        only = report._replace(new=(), dropped=())
        raise ValueError(
            f"carry_over: not all goes over to {new_tx!r}:{problems(only)}"
            f"\nGive restart=True to begin these anew."
        )
    return treedef.unflatten(
        placed(found.get(name, leaf), leaf)
        for name, leaf in zip(names, leaves, strict=True)
    ), report
