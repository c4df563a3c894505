"""The optimizers by name: how each is built, the space it is tuned in, and the paper that it comes from.

A hyperparameter may be given as itself or by its complement: `one_minus_momentum` 0.1 is `momentum` 0.9. Spaces are
over complements because 0.9 and 0.99 are as far apart as 0.99 and 0.999.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.optimizers import six
from bench.space import Categorical, Log, Space
from posemodel.errors import SettingsError

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer

COMPLEMENT = "one_minus_"


@dataclass(frozen=True)
class OptimizerEntry:
    """One optimizer: ``build(parameters, **hyperparameters)``, its tuning space, its defaults and its source."""

    name: str
    build: Callable[..., "Optimizer"]
    space: Space
    source: str

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Accepted names with their defaults (``inspect.Parameter.empty`` where a value is required)."""
        parameters = list(inspect.signature(self.build).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in parameters}

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments for ``build``: complements undone, unknown names refused with the nearest valid one."""
        accepted = self.hyperparameters
        resolved: dict[str, Any] = {}
        for name, value in given.items():
            plain = name.removeprefix(COMPLEMENT)
            if plain not in accepted:
                near = difflib.get_close_matches(plain, accepted, n=1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise SettingsError(
                    f"optimizer {self.name}: there is no hyperparameter {name!r}.{hint} "
                    f"It takes: {', '.join(accepted)}."
                )
            if plain in resolved:
                raise SettingsError(f"optimizer {self.name}: {plain} is given twice (also as {COMPLEMENT}{plain}).")
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise SettingsError(f"optimizer {self.name}: {name} must be a number, got {value!r}.")
            resolved[plain] = 1 - value if name.startswith(COMPLEMENT) else value
        missing = [n for n, d in accepted.items() if d is inspect.Parameter.empty and n not in resolved]
        if missing:
            raise SettingsError(f"optimizer {self.name}: {', '.join(missing)} must be given.")
        return resolved

    def factory(self, given: Mapping[str, Any]) -> Callable[[Iterable["Parameter"]], "Optimizer"]:
        """A function from parameters to the optimizer; SettingsError if a hyperparameter is unknown or out of range."""
        arguments = self.resolve(given)

        def make(parameters: Iterable["Parameter"]) -> "Optimizer":
            try:
                return self.build(parameters, **arguments)
            except ValueError as error:
                raise SettingsError(f"optimizer {self.name}: {error}.") from error

        return make


_MOMENTUM: Space = {"lr": Log(1e-4, 1.0), "one_minus_momentum": Log(5e-3, 0.3)}

OPTIMIZERS: dict[str, OptimizerEntry] = {
    entry.name: entry
    for entry in (
        OptimizerEntry("sgd", six.sgd, _MOMENTUM, "Polyak, 1964"),
        OptimizerEntry("nesterov", six.nesterov, _MOMENTUM, "Nesterov, 1983; Sutskever et al., ICML 2013"),
        OptimizerEntry(
            "adagrad",
            six.adagrad,
            {"lr": Log(1e-4, 1.0), "initial_accumulator_value": Categorical((0.0, 0.1))},
            "Duchi et al., JMLR 2011",
        ),
        OptimizerEntry(
            "adadelta",
            six.adadelta,
            {"lr": Log(1e-3, 10.0), "one_minus_rho": Log(1e-3, 0.3)},
            "Zeiler, 2012",
        ),
        OptimizerEntry(
            "adam",
            six.adam,
            {"lr": Log(1e-5, 1e-2), "one_minus_beta1": Log(0.02, 0.5)},
            "Kingma and Ba, ICLR 2015",
        ),
        OptimizerEntry(
            "adabound",
            six.adabound,
            {"lr": Log(1e-5, 1e-2), "final_lr": Log(1e-3, 1.0), "gamma": Log(1e-4, 1e-1)},
            "Luo et al., ICLR 2019",
        ),
    )
}


def optimizer_entry(name: str) -> OptimizerEntry:
    """The entry of a name; SettingsError names the nearest."""
    if name not in OPTIMIZERS:
        near = difflib.get_close_matches(name, OPTIMIZERS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise SettingsError(f"optimizers: no optimizer is called {name!r}.{hint} There are: {', '.join(OPTIMIZERS)}.")
    return OPTIMIZERS[name]
