"""The checks together."""

import functools
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from gradtx.testing import (
    at_hand,
    contract,
    identity,
    numbers,
    refusals,
    shardings,
    splitting,
    widths,
)
from gradtx.testing.trial import Make

Check = Callable[[Make], None]


def _reporting(check: Check) -> Check:
    """The check, with whatever else is raised in it made an AssertionError."""

    @functools.wraps(check)
    def reported(make: Make) -> None:
        try:
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
    refusals,
    identity,
    at_hand,
    splitting,
    shardings,
)

# Every public function of these modules is a check, in the order of writing.
CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        name: _reporting(value)
        for module in MODULES
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and name[0] != "_"
    }
)


def check_transformation(make: Make, *, skip: Iterable[str] = ()) -> None:
    """Run every check of `CHECKS` on a transformation of your own.

    Args:
      make: builds it, without arguments; called many times.
      skip: names of checks that it need not pass.

    Raises:
      AssertionError: what was expected, of which leaf, for each check that fails.
      ValueError: a name in `skip` that is no check.

    Example:
      >>> import gradtx
      >>> gradtx.testing.check_transformation(lambda: gradtx.scale(0.5))
    """
    skip = set(skip)
    unknown = skip - set(CHECKS)
    if unknown:
        raise ValueError(f"skip has {sorted(unknown)}; the checks are {list(CHECKS)}.")
    failures = []
    for name, check in CHECKS.items():
        if name in skip:
            continue
        try:
            check(make)
        except AssertionError as error:
            failures.append(f"{name}: {error}")
    if failures:
        raise AssertionError(
            f"{make()!r} fails {len(failures)} of {len(CHECKS) - len(skip)} checks:\n"
            + "\n".join(failures)
        )
