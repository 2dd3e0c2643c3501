"""The checks together."""

import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from gradtx.testing import (
    at_hand,
    contract,
    derivatives,
    flags,
    identity,
    numbers,
    refusals,
    shardings,
    splitting,
    widths,
)
from gradtx.testing.leaves import shaped_like
from gradtx.testing.trial import Make

Check = Callable[..., None]  # check(make, params=None)


def _reporting(check: Callable[[Make], None]) -> Check:
    """The check, with whatever else is raised in it made an AssertionError."""

    @functools.wraps(check)
    def reported(make: Make, params: Any = None) -> None:
        try:
            with shaped_like(params):
                check(make)
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(
                f"expected no error, got {type(error).__name__}: {error}"
            ) from error

    return reported


MODULES = (
    contract,
    numbers,
    widths,
    derivatives,
    refusals,
    identity,
    at_hand,
    splitting,
    shardings,
    flags,
)

# Every public function of these modules is a check, in the order of writing; called as
# check(make), or check(make, params=...) as in check_transformation.
CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        name: _reporting(value)
        for module in MODULES
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and name[0] != "_"
    }
)


def listing() -> str:
    """Every check with what it means.

    Example:
      >>> import gradtx
      >>> print(gradtx.testing.listing())  # doctest: +ELLIPSIS
      is_a_pair_with_a_step
          It unpacks as `init, update` and has a `step`.
      ...
    """
    said = {name: inspect.getdoc(check) or "" for name, check in CHECKS.items()}
    return "\n".join(
        f"{n}\n{textwrap.indent(text, '    ')}" for n, text in said.items()
    )


def check_transformation(
    make: Make, *, skip: Iterable[str] = (), params: Any = None
) -> None:
    """Run every check of `CHECKS` on a transformation of your own.

    Args:
      make: builds it, without arguments; called many times.
      skip: names of checks that it need not pass.
      params: parameters to try it on, of which structure and shapes are taken; by
        default a small tree with a matrix, a vector, a 0-d array, an empty one and
        `None`. For a rule that is of matrices only, say. First dimensions must be
        even: one check splits leaves along them.

    Raises:
      AssertionError: what was expected, of which leaf, for each check that fails.
      ValueError: a name in `skip` that is no check; no array in `params`.

    Example:
      >>> import gradtx
      >>> gradtx.testing.check_transformation(lambda: gradtx.trace(0.5))
    """
    with shaped_like(params):
        pass  # what is wrong with them is no failure of each check
    skip = set(skip)
    unknown = skip - set(CHECKS)
    if unknown:
        raise ValueError(f"skip has {sorted(unknown)}; the checks are {list(CHECKS)}.")
    failures = []
    for name, check in CHECKS.items():
        if name in skip:
            continue
        try:
            check(make, params)
        except AssertionError as error:
            failures.append(f"{name}: {error}")
    if failures:
        raise AssertionError(
            f"{make()!r} fails {len(failures)} of {len(CHECKS) - len(skip)} checks:\n"
            + "\n".join(failures)
        )
