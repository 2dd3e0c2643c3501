"""The suite catches what is broken: a check that cannot fail checks nothing."""

import re

import pytest

import gradtx
from gradtx.testing import CHECKS, check_transformation

from . import broken, broken_calls, broken_extremes, broken_running, broken_widths

BROKEN = {
    name: make
    for module in (
        *(broken, broken_calls, broken_extremes),
        *(broken_running, broken_widths),
    )
    for name, make in vars(module).items()
    if name.split("__")[0] in CHECKS
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_check_catches(name):
    make = BROKEN[name]
    with pytest.raises(AssertionError) as caught:
        CHECKS[name.split("__")[0]](make)
    assert re.search(make.__doc__, str(caught.value), re.DOTALL), str(caught.value)


def test_a_description_that_leaves_out_an_argument_is_caught(monkeypatch):
    monkeypatch.setattr(
        gradtx, "describe", lambda tx: repr(tx).replace("scale(0.5)", "scale()")
    )
    with pytest.raises(AssertionError, match=r"does not show step_size=0\.5"):
        CHECKS["describes_itself"](lambda: gradtx.scale(0.5))
    with pytest.raises(AssertionError, match=r"does not show what sgd\(0\.1\) stands"):
        CHECKS["describes_itself"](lambda: gradtx.sgd(0.1))


def test_every_check_has_something_that_it_catches():
    caught = {name.split("__")[0] for name in BROKEN}
    assert set(CHECKS) - caught == {"describes_itself"}  # just above


def test_the_whole_suite_names_the_checks_that_fail():
    with pytest.raises(AssertionError) as caught:
        check_transformation(broken.takes_complex)
    assert "takes_complex() fails 1 of" in str(caught.value)
    check_transformation(broken.takes_complex, skip=["takes_complex"])


def test_a_skipped_check_must_exist():
    with pytest.raises(ValueError, match=r"skip has \['take_complex'\]"):
        check_transformation(gradtx.identity, skip=["take_complex"])
