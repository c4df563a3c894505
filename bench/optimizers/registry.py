"""The registry of optimizers that ship, by name, with their tuning spaces and papers."""

from bench.optimizers import built_in
from bench.optimizers.entry import OptimizerEntry
from bench.optimizers.space import Categorical, Log, Space

ADABOUND, AMSBOUND = "bench.optimizers.adabound.AdaBound", "bench.optimizers.adabound.AMSBound"
"""Kinds (class paths) of our AdaBound and AMSBound."""
ADABOUNDW = "bench.optimizers.adabound.AdaBoundW"
"""Kind of our AdaBound with decoupled weight decay."""
ADABOUND_REFERENCE = "adabound.adabound.AdaBound"
"""Kind of the `adabound` package's AdaBound."""

_SGD = "torch.optim.sgd.SGD"
ADAM_RATES = Log(1e-5, 0.1)
"""Learning rates of Adam and its relatives, whose step is about as long as the rate, independent of the gradient's
size."""
_EFFECTIVE_RATES = Log(1e-3, 30.0)
"""Tuning range of SGD's lr / (1 - momentum) and of AdaBound's `final_lr`, which are comparable: AdaBound ends as SGD
whose velocity is a mean."""
_MOMENTUM: Space = {"effective_lr": _EFFECTIVE_RATES, "one_minus_momentum": Log(5e-3, 0.3)}
_ADABOUND: Space = {"lr": ADAM_RATES, "final_lr": _EFFECTIVE_RATES, "gamma": Log(1e-4, 0.1)}

OPTIMIZERS: dict[str, OptimizerEntry] = {
    entry.name: entry
    for entry in (
        OptimizerEntry("sgd", built_in.sgd, _MOMENTUM, "Polyak, 1964", _SGD),
        OptimizerEntry(
            "nesterov",
            built_in.nesterov,
            _MOMENTUM,
            "Nesterov, 1983; Sutskever et al., ICML 2013",
            f"{_SGD} with nesterov",
        ),
        OptimizerEntry(
            "adagrad",
            built_in.adagrad,
            {"lr": Log(1e-4, 1.0), "initial_accumulator_value": Categorical((0.0, 0.1))},
            "Duchi et al., JMLR 2011",
            "torch.optim.adagrad.Adagrad",
        ),
        OptimizerEntry(
            "adadelta",
            built_in.adadelta,
            {"lr": Log(1e-2, 100.0), "one_minus_rho": Log(1e-3, 0.3), "eps": Log(1e-8, 1e-4)},
            "Zeiler, 2012",
            "torch.optim.adadelta.Adadelta",
        ),
        OptimizerEntry(
            "adam",
            built_in.adam,
            {"lr": ADAM_RATES, "one_minus_beta1": Log(0.02, 0.5), "one_minus_beta2": Log(5e-4, 0.1)},
            "Kingma and Ba, ICLR 2015",
            "torch.optim.adam.Adam",
        ),
        OptimizerEntry("adabound", built_in.adabound, _ADABOUND, "Luo et al., ICLR 2019", ADABOUND),
        OptimizerEntry("amsbound", built_in.amsbound, _ADABOUND, "Luo et al., ICLR 2019", AMSBOUND),
        OptimizerEntry(
            "adaboundw",
            built_in.adaboundw,
            _ADABOUND,
            "Luo et al., ICLR 2019; Loshchilov and Hutter, ICLR 2019",
            ADABOUNDW,
        ),
        OptimizerEntry(
            "adabound_reference",
            built_in.adabound_reference,
            _ADABOUND,
            "Luo et al., ICLR 2019 (their package)",
            ADABOUND_REFERENCE,
        ),
    )
}
