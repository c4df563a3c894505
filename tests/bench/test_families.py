"""Default spaces and own schedules of known families: published values within them, fitted to what a class has."""

import importlib
import inspect

import pytest
import torch
from torch.optim import SGD, Optimizer

from bench.kinds.optimizers.plan import BORDER, OptimizerSearch
from bench.optimizers import optimizer_entry
from bench.optimizers.classes import class_entry
from bench.optimizers.entry import WEIGHT_DECAY, default_of
from bench.optimizers.families import FAMILIES, RELATIVE_STEP, family_of, fitting_space
from bench.optimizers.registry import OPTIMIZERS
from bench.optimizers.space import Categorical, Fixed, Log, point, searched
from bench.optimizers.spaces import spaces_of
from bench.optimizers.unfit import check_trains
from posemodel.errors import SettingsError

PACKAGES = ("torch.optim", "pytorch_optimizer", "schedulefree", "lion_pytorch", "prodigyopt")
"""PyTorch and the packages of the extra `optimizers`; those that are not installed are left out."""


def known_classes():
    """Each class of a known family in the installed packages, with its path."""
    for name in PACKAGES:
        try:
            package = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        for each, kind in sorted(vars(package).items()):
            if inspect.isclass(kind) and issubclass(kind, Optimizer) and family_of(kind.__name__) is not None:
                yield f"{name}.{each}", kind


KNOWN = dict(known_classes())


def test_a_class_is_known_by_its_own_name_in_any_case():
    assert family_of("Lion") is family_of("LION") is FAMILIES["lion"]
    assert family_of("AdamWScheduleFree").schedule == "constant"
    assert family_of("DAdaptAdam").schedule == family_of("Prodigy").schedule == "fixed"
    assert family_of("Mine") is None
    assert all(name == name.lower() for name in FAMILIES)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_no_family_searches_the_weight_decay_and_each_has_a_paper_with_its_year(name):
    family = FAMILIES[name]
    assert WEIGHT_DECAY not in (family.space or {})
    assert any(f"{year}" in family.source for year in range(1964, 2027))
    assert (family.reason != "") == (name in ESTIMATING), "of others the paper fixes the schedule"
    if family.reason:
        assert family.schedule == "fixed"
        assert {*family.space.values()} == {Log(0.1, 10.0)}, "a factor of the rate that the method estimates"


ESTIMATING = {name for name in FAMILIES if name.startswith(("prodigy", "dadapt"))} | {"dog", "ldog", "adamg"}
"""Parameter-free methods."""


@pytest.mark.parametrize("path", sorted(KNOWN))
def test_a_space_holds_only_what_the_class_has_with_the_default_within(path):
    entry = class_entry(path, KNOWN[path])
    family = family_of(KNOWN[path].__name__)
    assert entry.source == family.source
    assert entry.schedule == family.schedule
    required = {name: 1 for name, default in entry.hyperparameters.items() if default is inspect.Parameter.empty}
    for unit in (0.0, 1.0):
        resolved = entry.resolve({**required, **point(entry.space, [unit] * searched(entry.space))})
        assert {*resolved} <= {*entry.hyperparameters}
    for name, dimension in entry.space.items():
        default = default_of(entry, name)
        if isinstance(dimension, Log) and default is not None:
            edges = dimension.beyond(BORDER), dimension.beyond(1 - BORDER)
            assert edges[0] < default < edges[1] or path in OUTSIDE, name
        elif isinstance(dimension, Categorical):
            assert default in dimension.values, name


OUTSIDE = {
    "pytorch_optimizer.LARS", "torch.optim.Adafactor", "pytorch_optimizer.SGD", "torch.optim.SGD",
    "pytorch_optimizer.ScheduleFreeWrapper",
}  # fmt: skip
"""Classes with a default that is not a published one: LARS's rate of 0.001 moves a weight by a millionth of its norm,
and SGD has no momentum."""


def test_relatives_of_adam_get_the_points_of_adam(make_spec):
    spec = make_spec(optimizers=["adam", "adamw", "radam"], trials=8)
    assert spec.spaces["adamw"] == spec.spaces["radam"] == spec.spaces["adam"]
    adam, adamw, radam = (OptimizerSearch(spec, name) for name in spec.optimizers)
    assert adam.defaults == adamw.defaults == radam.defaults


class Lion(SGD):
    """A class of a known name that has no betas."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)


class Adafactor(SGD):
    """A class that computes its rate if it is asked to."""

    def __init__(self, params, lr=None, relative_step=True, beta1=None):
        super().__init__(params, 1e-3)


class Rateless(Optimizer):
    """A class of no known name without a rate."""

    def __init__(self, params, gain=1.0):
        super().__init__(params, {"gain": gain})


def test_what_a_class_lacks_is_left_out():
    entry = class_entry("mine.Lion", Lion)
    assert entry.space == {"lr": Log(1e-6, 1e-2)}
    assert entry.earlier_space == {"lr": Log(0.1 / 100, 0.1 * 100)}, "with which begun studies continue"


def test_relative_steps_have_no_rate_to_search():
    entry = class_entry("mine.Adafactor", Adafactor)
    assert entry.schedule == "fixed"
    assert entry.space == {RELATIVE_STEP: Fixed(True), "one_minus_beta1": Log(0.01, 0.45)}
    assert fitting_space(FAMILIES["adafactor"], {"lr"}.__contains__) == {"lr": Log(1e-3, 0.1)}


def test_a_class_without_a_rate_and_without_a_family_has_no_schedule_but_its_own():
    assert class_entry("mine.Rateless", Rateless).schedule == "fixed"
    assert all(entry.schedule is None for entry in OPTIMIZERS.values())
    assert optimizer_entry("adamax").schedule is None


def test_without_a_family_the_rate_is_searched_around_the_default():
    assert optimizer_entry("adamax").space == {"lr": Log(1e-5, 0.1)}
    assert optimizer_entry("asgd").source == "torch.optim.asgd.ASGD"


def test_a_family_beside_the_rate_of_the_class():
    """Lookahead's paper varies k and alpha; the rate is that of the optimizer within."""

    class Lookahead(SGD):
        def __init__(self, params, lr=0.1, k=5, alpha=0.5):
            super().__init__(params, lr)

    space = class_entry("mine.Lookahead", Lookahead).space
    assert space == {
        "lr": Log(0.1 / 100, 0.1 * 100),
        "k": Categorical((5, 10)),
        "alpha": Categorical((0.5, 0.8)),
    }


def test_a_point_of_a_space_of_choices_reaches_the_class_in_its_types():
    pytest.importorskip("lion_pytorch")
    entry = optimizer_entry("lion_pytorch.Lion")
    optimizer = entry.factory(point(entry.space, [0.5, 1.0]))([torch.nn.Parameter(torch.ones(2))])
    assert optimizer.defaults["betas"] == (0.95, 0.98)
    assert optimizer.defaults["lr"] == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("adam", "torch.optim.Adam"),
        ("sgd", "torch.optim.SGD"),
        ("adagrad", "torch.optim.Adagrad"),
        ("adadelta", "torch.optim.Adadelta"),
        ("adabound", "bench.optimizers.adabound.AdaBound"),
        ("amsbound", "bench.optimizers.adabound.AMSBound"),
        ("adaboundw", "bench.optimizers.adabound.AdaBoundW"),
    ],
)
def test_a_class_of_the_registry_has_its_space_by_its_path_too(name, path):
    entry = optimizer_entry(path)
    assert entry.space == OPTIMIZERS[name].space
    assert entry.source == OPTIMIZERS[name].source
    assert entry.earlier_space == {
        rate: entry.earlier_space[rate] for rate in ("lr", "effective_lr") if rate in entry.earlier_space
    }, "with which begun studies continue"
    with pytest.raises(SettingsError, match="are the same class with the same space"):
        spaces_of([name, path], {}, {})


def test_so_have_classes_of_that_name_in_other_packages():
    pytest.importorskip("pytorch_optimizer")
    assert optimizer_entry("pytorch_optimizer.AdaBound").space == OPTIMIZERS["adabound"].space


class SteppedInside:
    """A wrapper over an optimizer, with a momentum of its own, as schedulefree has it."""

    def __init__(self, base: Optimizer, momentum=0.9):
        self.base = base
        self.param_groups = base.param_groups

    def step(self, closure=None):
        return self.base.step(closure)

    def zero_grad(self, set_to_none=True):
        self.base.zero_grad(set_to_none)

    def state_dict(self):
        return self.base.state_dict()

    def load_state_dict(self, state):
        self.base.load_state_dict(state)


class ScheduleFreeWrapper(SteppedInside):
    """A wrapper of a known name."""


class ScheduleFreeWrapperReference(SteppedInside):
    """Its reference implementation."""


@pytest.mark.parametrize("inside", ["sgd", "torch.optim.SGD"])
@pytest.mark.parametrize("kind", [ScheduleFreeWrapper, ScheduleFreeWrapperReference])
def test_schedule_free_sgd_has_10_to_50_times_sgd_s_rates_without_its_momentum(kind, inside):
    """SGD's effective rates are 0.001 to 30, so that `lr` at momentum 0.9 is 0.0001 to 3."""
    entry = class_entry("mine.Wrapper", kind, inside)
    assert entry.space == {
        "lr": Log(1e-4 * 10, 3.0 * 50),
        "base_momentum": Fixed(0.0),
        "one_minus_momentum": Log(0.02, 0.2),
    }
    assert entry.schedule == "constant"
    made = entry.factory(point(entry.space, [0.0, 0.5]))([torch.nn.Parameter(torch.ones(2))])
    assert made.param_groups[0]["momentum"] == 0.0


def test_nesterov_keeps_the_momentum_that_it_needs_and_others_have_their_own_rates():
    assert class_entry("mine.Wrapper", ScheduleFreeWrapper, "nesterov").space == {
        "lr": Log(1e-4, 3.0),
        "one_minus_momentum": Log(0.02, 0.2),
    }
    assert class_entry("mine.Wrapper", SteppedInside, "sgd").space == {"lr": Log(1e-4, 3.0)}, "no known family"
    inside = class_entry("mine.Wrapper", ScheduleFreeWrapper, "adam").space
    assert inside == {**OPTIMIZERS["adam"].space, "one_minus_momentum": Log(0.02, 0.2)}


def test_schedule_free_radam_has_no_warm_up_but_its_own():
    names = ("ScheduleFreeRAdam", "RAdamScheduleFree", "RAdamScheduleFreeClosure")
    assert {family_of(name).schedule for name in names} == {"fixed"}
    assert family_of("ScheduleFreeAdamW").schedule == "constant"


@pytest.mark.parametrize("name", ["DAdaptAdam", "DAdaptSGD", "DAdaptLion", "DAdaptAdan", "DAdaptAdaGrad", "AdamG"])
def test_the_factor_of_an_estimated_rate_is_searched_and_trains_at_both_ends(name):
    pytest.importorskip("pytorch_optimizer")
    entry = optimizer_entry(f"pytorch_optimizer.{name}")
    assert entry.space == {"lr": Log(0.1, 10.0)}
    for factor in (0.1, 10.0):
        check_trains(entry, {"lr": factor})


def test_the_paper_of_adamg():
    assert FAMILIES["adamg"].source == "Pang et al., 2024"
