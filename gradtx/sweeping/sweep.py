"""Many settings of hyperparameters, stepped by one program."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradtx.core import check
from gradtx.core.call import Call, Remembered
from gradtx.core.transformation import inner_of
from gradtx.core.trees import absent, check_arrays, paths_of
from gradtx.schedules.arguments import as_hyperparam
from gradtx.schedules.inject import widest
from gradtx.sweeping.results import best_of, columns_of, table_of
from gradtx.sweeping.settings import built, numbers_of, parameters_of, settings_of


def sweep(
    make_tx: Callable[..., Any],
    how: str = "product",
    /,
    **values: Sequence[float] | Any,
) -> "Sweep":
    """Run a transformation with many settings of its hyperparameters at once.

    One program for all runs: `init`, `update` and `step` are those of the
    transformation under `jax.vmap`, with the swept arguments as arrays. So parameters,
    gradients and state have a first axis of runs, and a run gives the numbers that it
    gives alone (but for the hyperparameters, which are float32 here at least).

    What is no number (a bool, a string, a schedule, a size that shapes depend on)
    decides which program it is: it is fixed in make_tx, with a sweep for each. A
    schedule is built there, from a number that is swept:

        def make_tx(learning_rate, weight_decay):
            rate = gradtx.cosine_decay_schedule(learning_rate, 1000)
            return gradtx.adamw(rate, weight_decay=weight_decay)

    What skips work by a `lax.cond` (`MultiSteps`, `apply_if_finite`) does it all under
    `vmap`, and chooses. Runs know nothing of each other: arrays that are sharded along
    the first axis train on many devices.

    State: the transformation's, once for each run.

    Args:
      make_tx: makes a transformation of numbers that it takes by name: a factory, or a
        function of yours. Here it is called once for each setting, which shows what is
        out of range, and then in each trace, with arrays.
      how: "product", all combinations, the last argument fastest; or "zip", the first
        values together, then the second ones, as in a random search. By place, so that
        make_tx may have an argument of any name.
      **values: for each argument that is swept its values, a list or an array of one
        axis.

    Returns:
      A `Sweep`.

    Raises:
      ValueError: no argument or no value, a value twice in a product, lists of several
        lengths in "zip", a value that make_tx refuses (the setting is named).
      TypeError: a value that is no number, an argument that make_tx does not have or
        for which it needs a Python int.

    Example:
      >>> import jax, jax.numpy as jnp, gradtx
      >>> grid = gradtx.sweep(gradtx.sgd, learning_rate=[0.1, 0.5], momentum=[0.0, 0.9])
      >>> params = grid.stack(jnp.array([1.0, 2.0]))  # the same for each of four runs
      >>> state = grid.init(params)
      >>> for _ in range(3):
      ...     grads = jax.vmap(jax.grad(lambda p: jnp.sum(p**2) / 2))(params)
      ...     params, state = grid.step(grads, state, params)
      >>> print(grid.table(jnp.sum(params**2, axis=1) / 2))
         run  learning_rate  momentum   result
      *    2            0.5         0  0.03906
           1            0.1       0.9   0.5905
           0            0.1         0    1.329
           3            0.5       0.9    1.332
    """
    return Sweep(make_tx, how, values)


class Sweep(Remembered):
    """What `sweep` makes: the functions of a transformation, for many runs at once.

    `len(grid)` is the number of runs, `grid[i]` the transformation of one of them with
    its Python numbers, to train it alone. What stands around a transformation (a chain,
    `MultiSteps`) is written in make_tx, not around the sweep.

    Example:
      >>> import gradtx
      >>> grid = gradtx.sweep(gradtx.adam, "zip", learning_rate=[0.1, 0.2], b1=[0.9, 0])
      >>> grid, len(grid), grid.settings[1]
      (sweep(adam, 'zip', learning_rate=[0.1, 0.2], b1=[0.9, 0]), 2,
       {'learning_rate': 0.2, 'b1': 0})
      >>> grid[1]
      adam(learning_rate=0.2, b1=0)
    """

    settings: list[dict[str, float]]  # of each run, the numbers by their names

    def __init__(self, make_tx: Any, how: str, values: dict[str, Any]):
        check.choice("sweep: how", how, ("product", "zip"))
        self.make_tx, self.how = make_tx, how
        self.values = {name: numbers_of(name, given) for name, given in values.items()}
        self.settings = list(settings_of(how, self.values))
        self.call = Call(sweep, (make_tx, how)[: 1 + (how == "zip")], self.values)
        self._parameters = parameters_of(make_tx, self.settings[0])
        self._alone = [built(make_tx, setting) for setting in self.settings]
        self._compiled = {
            name: jax.jit(partial(self._all, name, {}))
            for name in ("init", "update", "step")
        }

    def __len__(self) -> int:
        return len(self.settings)

    def __getitem__(self, i: int) -> Any:
        return self._alone[i]

    def stack(self, tree: Any) -> Any:
        """The same arrays for each run, along a new first axis."""
        check_arrays(tree)

        def stacked(x: Any) -> jax.Array:
            # In a dtype that is given: a number's own is weak, and no step's is.
            x = jnp.asarray(x, jnp.result_type(x))
            return jnp.stack([x] * len(self))

        return jax.tree.map(stacked, tree)

    def init(self, params: Any) -> Any:
        """The state of all runs.

        Args:
          params: with a first axis of runs: `stack(params)`, or `jax.vmap` of what
            draws them, for a seed in each run.

        Raises:
          ValueError: an array without that axis; it is named.
        """
        return self._run("init", (params,), {"params": params}, {})

    def update(
        self, updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        """The updates and the state of all runs.

        Args:
          updates, state, params: with a first axis of runs.
          **extra: what the transformation takes besides; arrays with a first axis of
            runs, and functions, the same for all.

        Raises:
          ValueError: an array without that axis; it is named.
        """
        given = {"updates": updates, "state": state, "params": params}
        return self._run("update", (updates, state, params), given, extra)

    def step(
        self, updates: Any, state: Any, params: Any, **extra: Any
    ) -> tuple[Any, Any]:
        """The parameters and the state of all runs, as `update` and its application.

        Args:
          updates, state, params, **extra: see `update`.

        Raises:
          ValueError: an array without a first axis of runs; it is named.
        """
        given = {"updates": updates, "state": state, "params": params}
        return self._run("step", (updates, state, params), given, extra)

    def best(self, results: Any, *, highest: bool = False) -> int:
        """The run with the lowest result, or the highest.

        Args:
          results: a number for each run, an array of one axis.
          highest: whether more is better, as of an accuracy.

        Raises:
          ValueError: another shape, or no finite result.
        """
        _, column = columns_of(results, len(self))[0]
        return best_of(column, highest)

    def table(
        self, results: Any, *, highest: bool = False, rows: int | None = None
    ) -> str:
        """The runs with their settings and results, the best first and marked by `*`.

        Results that are not finite come last. Where the best setting is at an end of
        what was tried in a product, a line below says so.

        Args:
          results: a number for each run; or a dict from name to such an array, a column
            for each, of which the first is sorted by.
          highest: whether more is better, as of an accuracy.
          rows: how many runs to show, the best; by default all.

        Raises:
          ValueError: results of another shape, or none that is finite; rows below 1.
        """
        columns = columns_of(results, len(self))
        values = self.values if self.how == "product" else {}
        rows = len(self) if rows is None else rows
        check.count("sweep: rows", rows, 1)
        return table_of(self.settings, values, columns, highest, rows)

    def _run(
        self, name: str, args: tuple, given: dict[str, Any], extra: dict[str, Any]
    ) -> Any:
        fixed = {key: value for key, value in extra.items() if callable(value)}
        mapped = {key: value for key, value in extra.items() if key not in fixed}
        for key, tree in (given | mapped).items():
            self._check_runs(key, tree)
        # Outside of jit each rule that is made anew would be compiled anew.
        call = partial(self._all, name, fixed) if fixed else self._compiled[name]
        try:
            return call(args, mapped)
        except jax.errors.JAXTypeError as error:
            error.add_note(
                f"sweep: {', '.join(self.values)} are arrays here. What has to be a "
                f"Python number is fixed in make_tx, with a sweep for each."
            )
            raise

    def _all(self, name: str, fixed: dict[str, Any], args: tuple, mapped: Any) -> Any:
        """The function of that name for each run."""
        dtype = widest(args)
        numbers = {
            key: as_hyperparam(
                np.asarray([setting[key] for setting in self.settings]),
                dtype,
                self._parameters.get(key),
            )
            for key in self.values
        }

        def one(numbers: Any, args: tuple, mapped: dict[str, Any]) -> Any:
            tx = inner_of("sweep: make_tx", self.make_tx(**numbers))
            return getattr(tx, name)(*args, **mapped, **fixed)

        return jax.vmap(one)(numbers, args, mapped)

    def _check_runs(self, name: str, tree: Any) -> None:
        for path, leaf in paths_of(tree):
            shape = np.shape(leaf)
            if not absent(leaf) and shape[:1] != (len(self),):
                hint = ": stack(params) gives all runs the same" * (name == "params")
                raise ValueError(
                    f"sweep: {name}{path} must have a first axis of {len(self)} runs, "
                    f"has shape {shape}{hint}."
                )
