"""The conformance suite: what every transformation is held to, and yours may be.

    gradtx.testing.check_transformation(lambda: my_optimizer(0.1))

or, one test a check:

    @pytest.mark.parametrize("check", gradtx.testing.CHECKS.values())
    def test_my_optimizer(check):
        check(lambda: my_optimizer(0.1))

`check_transformation(make, params=...)` tries it on parameters of your own, for a rule
that is of matrices only, say. The checks:
"""

from gradtx.testing.bad_values import BAD_VALUES as BAD_VALUES
from gradtx.testing.samples import discover as discover, sample as sample
from gradtx.testing.suite import (
    CHECKS as CHECKS,
    check_transformation as check_transformation,
    listing as listing,
)
from gradtx.testing.values import (
    EXTRA as EXTRA,
    PREPARE as PREPARE,
    VALUES as VALUES,
)

__doc__ = f"{__doc__}\n{listing()}"  # so that help(gradtx.testing) has them
