"""What is measured of optimizers behind what gathers gradients of examples."""

from .combinations import Workload, adamw
from .given import of_examples
from .minimum import ACCUMULATED, examples_once


def averaging(lib, aggregator):
    """The optimizer behind an aggregator."""
    return lib.aggregating.process(lib.identity(), aggregator, adamw(lib))


# Of gradients of examples.
AGGREGATED = tuple(
    Workload(
        name,
        build,
        minimum=examples_once,
        cycle=cycle,
        in_optax=False,
        grads=of_examples,
    )
    for name, build, cycle in (
        (
            "averaged_adamw",
            lambda lib: averaging(lib, lib.aggregating.average_per_element_updates()),
            1,
        ),
        (
            "increments_adamw",
            lambda lib: averaging(
                lib, lib.aggregating.average_incrementally_updates(0, ACCUMULATED)
            ),
            ACCUMULATED,
        ),
        (
            "spread_adamw",
            lambda lib: lib.aggregating.add_mean_variance_to_opt(adamw(lib)),
            1,
        ),
    )
)
