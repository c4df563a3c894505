"""The optimizers: built by name, each follows its published rule, and no hyperparameter is swallowed."""

import math
import subprocess
import sys

import pytest
import torch

from bench.optimizers import OPTIMIZERS, optimizer_entry
from bench.optimizers.entry import default_of
from bench.optimizers.space import Categorical, Log, rate_of
from bench.optimizers.unfit import check_trains
from posemodel.errors import SettingsError
from tests.support.commands import COMMANDS

NAMES = ("sgd", "nesterov", "adagrad", "adadelta", "adam", "adabound", "amsbound", "adaboundw", "adabound_reference")
START = 1.0
GRADIENTS = (0.5, -0.25)


def walk(name, gradients=GRADIENTS, **hyperparameters):
    """The scalar weight after each step, from START, when these are the gradients."""
    weight = torch.nn.Parameter(torch.tensor([START], dtype=torch.float64))
    optimizer = optimizer_entry(name).factory(hyperparameters)([weight])
    path = []
    for gradient in gradients:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        path.append(weight.item())
    return path


def test_the_registry_holds_each_under_its_own_name():
    assert tuple(OPTIMIZERS) == NAMES
    assert all(name == entry.name and entry.source for name, entry in OPTIMIZERS.items())


@pytest.mark.parametrize("name", NAMES)
def test_the_kind_of_each_is_the_class_that_it_builds(name):
    made = type(optimizer_entry(name).factory({})([torch.nn.Parameter(torch.ones(2))]))
    kind = f"{made.__module__}.{made.__qualname__}"
    assert OPTIMIZERS[name].kind == (f"{kind} with nesterov" if name == "nesterov" else kind)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_built_by_name_and_moves_every_weight_downhill(name):
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    before = [weight.detach().clone() for weight in layer.parameters()]
    optimizer = optimizer_entry(name).factory({"lr": 1e-2})(layer.parameters())
    inputs = torch.randn(8, 3)
    loss = layer(inputs).square().mean()
    loss.backward()
    optimizer.step()
    assert all((weight != old).all() for weight, old in zip(layer.parameters(), before, strict=True))
    assert layer(inputs).square().mean() < loss


def test_sgd_is_heavy_ball_momentum():
    # v1 = 0.5; v2 = 0.9 x 0.5 - 0.25 = 0.2
    assert walk("sgd", lr=0.1, momentum=0.9) == pytest.approx([0.95, 0.93], rel=1e-12)


def test_nesterov_looks_ahead():
    # v1 = 0.5: step 0.1 x (0.5 + 0.45); v2 = 0.2: step 0.1 x (-0.25 + 0.18)
    assert walk("nesterov", lr=0.1, momentum=0.9) == pytest.approx([0.905, 0.912], rel=1e-12)


@pytest.mark.parametrize("start", [0.0, 0.1])
def test_adagrad_divides_by_the_root_of_all_squares(start):
    first = 1 - 0.1 * 0.5 / math.sqrt(start + 0.25)
    second = first + 0.1 * 0.25 / math.sqrt(start + 0.25 + 0.0625)
    assert walk("adagrad", lr=0.1, initial_accumulator_value=start) == pytest.approx([first, second], rel=1e-9)


def test_adadelta_scales_by_the_ratio_of_running_roots():
    rho, eps = 0.9, 1e-6
    squares = (1 - rho) * 0.25
    step = math.sqrt(eps) / math.sqrt(squares + eps) * 0.5
    first = 1 - 2 * step
    steps = (1 - rho) * step**2
    squares = rho * squares + (1 - rho) * 0.0625
    second = first + 2 * math.sqrt(steps + eps) / math.sqrt(squares + eps) * 0.25
    assert walk("adadelta", lr=2, rho=rho, eps=eps) == pytest.approx([first, second], rel=1e-12)


def adam_moments(step, beta1=0.9, beta2=0.999):
    mean = square = 0.0
    for gradient in GRADIENTS[:step]:
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
    return mean, square


def test_adam_corrects_both_moments():
    expected, weight = [], START
    for step in (1, 2):
        mean, square = adam_moments(step)
        corrected = math.sqrt(square / (1 - 0.999**step)) + 1e-8
        weight -= 0.1 * mean / (1 - 0.9**step) / corrected
        expected.append(weight)
    assert expected[0] == pytest.approx(0.9)  # the first step is lr, whatever the gradient
    assert walk("adam", lr=0.1) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("lr", "bound"),
    [
        (1.0, lambda step: 0.1 * (1 + 1 / (0.5 * step))),  # Adam's step would be above the upper bound
        (1e-6, lambda step: 0.1 * (1 - 1 / (0.5 * step + 1))),  # and here below the lower one
    ],
)
def test_adabound_clips_adam_s_step_to_bounds_that_close_in(lr, bound):
    expected, weight = [], START
    for step in (1, 2):
        mean, _ = adam_moments(step)
        weight -= bound(step) * mean
        expected.append(weight)
    assert walk("adabound", lr=lr, final_lr=0.1, gamma=0.5) == pytest.approx(expected, rel=1e-9)


def test_adabound_between_its_bounds_is_adam():
    # gamma 1e-3: the bounds are far apart, at first
    adam = walk("adam", gradients=GRADIENTS[:1], lr=1e-3)
    assert walk("adabound", gradients=GRADIENTS[:1], lr=1e-3, gamma=1e-3) == pytest.approx(adam, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_pulls_towards_zero(name):
    without = walk(name, lr=1e-2)[-1]
    assert walk(name, lr=1e-2, weight_decay=0.0)[-1] == without
    assert walk(name, lr=1e-2, weight_decay=1.0)[-1] < without


@pytest.mark.parametrize(
    ("name", "complement", "plain"),
    [
        ("sgd", {"one_minus_momentum": 0.25}, {"momentum": 0.75}),
        ("nesterov", {"one_minus_momentum": 0.25}, {"momentum": 0.75}),
        ("adadelta", {"one_minus_rho": 0.25}, {"rho": 0.75}),
        ("adam", {"one_minus_beta1": 0.25}, {"betas": (0.75, 0.999)}),
        ("amsbound", {"one_minus_beta1": 0.25}, {"betas": (0.75, 0.999)}),
        ("adamw", {"one_minus_beta1": 0.25}, {"betas": (0.75, 0.999)}),
    ],
)
def test_a_complement_is_one_minus_the_value(name, complement, plain):
    assert optimizer_entry(name).resolve({"lr": 0.1, **complement}) == {"lr": 0.1, **plain}
    assert walk(name, lr=0.1, **complement) == walk(name, lr=0.1, **plain)
    assert walk(name, lr=0.1, **complement) != walk(name, lr=0.1)


@pytest.mark.parametrize(
    ("name", "given", "twice"),
    [
        ("sgd", {"momentum": 0.9, "one_minus_momentum": 0.1}, "momentum"),
        ("adam", {"beta1": 0.9, "one_minus_beta1": 0.1}, "beta1"),
        ("adam", {"betas": (0.9, 0.99), "beta1": 0.9}, "betas"),
        ("adam", {"one_minus_beta2": 0.01, "betas": (0.9, 0.99)}, "betas"),
        ("radam", {"betas": (0.9, 0.99), "beta2": 0.9}, "betas"),
    ],
)
def test_a_value_given_twice_is_refused(name, given, twice):
    with pytest.raises(SettingsError, match=f"optimizer {name}: {twice} is given twice"):
        optimizer_entry(name).resolve(given)


@pytest.mark.parametrize("momentum", [{"momentum": 0.75}, {"one_minus_momentum": 0.25}])
@pytest.mark.parametrize("name", ["sgd", "nesterov", "torch.optim.SGD", "rmsprop"])
def test_an_effective_rate_is_lr_over_one_minus_momentum(name, momentum):
    entry = optimizer_entry(name)
    expected = {"lr": pytest.approx(0.1), "momentum": 0.75}
    assert entry.resolve({"effective_lr": 0.4, **momentum}) == expected
    assert entry.resolve({**momentum, "effective_lr": 0.4}) == expected, "in any order"
    assert entry.takes_number("effective_lr")


def test_an_effective_rate_goes_by_the_default_momentum():
    assert optimizer_entry("sgd").resolve({"effective_lr": 0.4})["lr"] == pytest.approx(0.04)
    assert optimizer_entry("torch.optim.SGD").resolve({"effective_lr": 0.4}) == {"lr": 0.4}
    assert walk("sgd", effective_lr=0.5) == pytest.approx(walk("sgd", lr=0.05), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("sgd", {"lr": 0.1, "effective_lr": 1.0}, "sgd: lr is given twice"),
        ("sgd", {"effective_lr": 1.0, "lr": 0.1}, "sgd: lr is given twice"),
        ("sgd", {"effective_lr": 1.0, "momentum": 1.0}, "momentum must be under 1, got 1; give lr"),
        ("nesterov", {"effective_lr": 1.0, "one_minus_momentum": -0.5}, "momentum must be under 1, got 1.5"),
        ("sgd", {"effective_lr": "fast"}, "effective_lr must be a number, got 'fast'"),
        ("sgd", {"effective_rl": 0.1}, "no hyperparameter 'effective_rl', did you mean effective_lr"),
        ("sgd", {"one_minus_effective_lr": 0.1}, "no hyperparameter 'one_minus_effective_lr'"),
        ("adam", {"effective_lr": 0.1}, "no hyperparameter 'effective_lr'"),
    ],
)
def test_an_effective_rate_that_cannot_be_is_refused(name, given, message):
    with pytest.raises(SettingsError, match=message):
        optimizer_entry(name).resolve(given)


@pytest.mark.parametrize(
    ("name", "hyperparameter", "default"),
    [
        ("sgd", "momentum", 0.9),
        ("sgd", "one_minus_momentum", pytest.approx(0.1)),
        ("nesterov", "effective_lr", pytest.approx(0.01)),
        ("torch.optim.SGD", "one_minus_momentum", 1),
        ("torch.optim.SGD", "effective_lr", pytest.approx(1e-3)),
        ("adam", "one_minus_beta1", pytest.approx(0.1)),
        ("adam", "beta2", 0.999),
        ("adam", "betas", (0.9, 0.999)),
        ("adam", "eps", 1e-8),
        ("adam", "effective_lr", None),
        ("adam", "momentum", None),
        ("adam", "one_minus_betas", None),
        ("adam", "decoupled_weight_decay", False),
        ("adamw", "weight_decay", 0.01),
        ("adabound", "final_lr", 0.1),
        ("adabound", "scale_final_lr", True),
        ("amsbound", "decoupled_weight_decay", False),
        ("adaboundw", "weight_decay", 0.0),
        ("adaboundw", "decoupled_weight_decay", None),
        ("adadelta", "one_minus_rho", pytest.approx(0.1)),
        ("adagrad", "initial_accumulator_value", 0.0),
        ("adafactor", "eps", None),
    ],
)
def test_a_default_is_found_under_any_name(name, hyperparameter, default):
    assert default_of(optimizer_entry(name), hyperparameter) == default


def test_the_rate_of_a_space_is_lr_or_the_effective_one():
    assert {name: rate_of(entry.space) for name, entry in OPTIMIZERS.items()} == {
        name: "effective_lr" if name in ("sgd", "nesterov") else "lr" for name in NAMES
    }
    assert rate_of({"momentum": Log(0.1, 0.9)}) is None


def test_components_are_of_any_tuple_with_a_plural_name():
    given = {"one_minus_eta1": 0.25, "step_size2": 10.0}
    assert optimizer_entry("rprop").resolve(given) == {"etas": (0.75, 1.2), "step_sizes": (1e-6, 10.0)}
    with pytest.raises(SettingsError, match="no hyperparameter 'ep1', did you mean eps"):
        optimizer_entry("adafactor").resolve({"ep1": 1e-3})


@pytest.mark.parametrize("name", ["adam", "adabound", "adabound_reference", "adamw"])
def test_a_tuple_is_given_whole_or_by_component(name):
    entry = optimizer_entry(name)
    assert entry.resolve({"beta2": 0.99}) == {"betas": (0.9, 0.99)}
    assert entry.resolve({"beta2": 0.99, "one_minus_beta1": 0.5}) == {"betas": (0.5, 0.99)}
    assert entry.resolve({"betas": [0.5, 0.99]}) == {"betas": (0.5, 0.99)}
    assert walk(name, lr=0.1, betas=[0.5, 0.99]) == walk(name, lr=0.1, beta1=0.5, beta2=0.99) != walk(name, lr=0.1)


@pytest.mark.parametrize(
    ("name", "wrong", "near"),
    [
        ("sgd", "momentun", "momentum"),
        ("sgd", "one_minus_momentun", "momentum"),
        ("adam", "beta_1", "beta1"),
        ("adam", "bta", "betas"),
        ("adamw", "bta", "betas"),
        ("adabound", "finallr", "final_lr"),
        ("adagrad", "initial_acumulator", "initial_accumulator_value"),
    ],
)
def test_an_unknown_hyperparameter_is_refused_with_the_nearest(name, wrong, near):
    with pytest.raises(SettingsError, match=rf"optimizer {name}: .*'{wrong}', did you mean {near}\?"):
        optimizer_entry(name).resolve({wrong: 0.9})


@pytest.mark.parametrize("value", ["0.9", None, True, [0.9], math.nan, math.inf])
def test_a_hyperparameter_that_is_no_number_is_refused(value):
    with pytest.raises(SettingsError, match="momentum must be a number"):
        optimizer_entry("sgd").resolve({"momentum": value})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("sgd", {"lr": -1}),
        ("sgd", {"momentum": -0.5}),
        ("nesterov", {"momentum": 0}),
        ("adagrad", {"initial_accumulator_value": -1}),
        ("adadelta", {"rho": 1.5}),
        ("adam", {"beta1": 1.0}),
        ("adabound", {"beta1": 1.0}),
        ("adabound", {"gamma": 1.0, "lr": -1}),
    ],
)
def test_a_value_out_of_range_is_a_settings_error_of_the_check_alone(name, wrong):
    given = {"lr": 0.1} | wrong
    with pytest.raises(SettingsError, match=f"optimizer {name}: Invalid|optimizer {name}: Nesterov"):
        check_trains(optimizer_entry(name), given)
    with pytest.raises(ValueError, match=r"^Invalid|^Nesterov"):
        optimizer_entry(name).factory(given)([torch.nn.Parameter(torch.zeros(1))])


def test_an_unknown_optimizer_is_refused_with_the_nearest():
    with pytest.raises(SettingsError, match=r"no optimizer is called 'adabond', did you mean adabound\?"):
        optimizer_entry("adabond")


def test_the_spaces_are_those_of_the_protocol():
    momentum = {"effective_lr": Log(1e-3, 30), "one_minus_momentum": Log(5e-3, 0.3)}
    adabound = {"lr": Log(1e-5, 0.1), "final_lr": Log(1e-3, 30), "gamma": Log(1e-4, 0.1)}
    assert {name: dict(entry.space) for name, entry in OPTIMIZERS.items()} == {
        "sgd": momentum,
        "nesterov": momentum,
        "adagrad": {"lr": Log(1e-4, 1), "initial_accumulator_value": Categorical((0, 0.1))},
        "adadelta": {"lr": Log(1e-2, 100), "one_minus_rho": Log(1e-3, 0.3), "eps": Log(1e-8, 1e-4)},
        "adam": {"lr": Log(1e-5, 0.1), "one_minus_beta1": Log(0.02, 0.5), "one_minus_beta2": Log(5e-4, 0.1)},
        "adabound": adabound,
        "amsbound": adabound,
        "adaboundw": adabound,
        "adabound_reference": adabound,
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("unit", [0.0, 0.5, 1.0])
def test_every_corner_of_a_space_can_be_built(name, unit):
    entry = optimizer_entry(name)
    path = walk(name, **{key: dimension.at(unit) for key, dimension in entry.space.items()})
    assert all(math.isfinite(weight) for weight in path)


def test_the_reference_is_silent(hermetic):
    """In its own process, as torch warns once: the package calls deprecated signatures."""
    program = f"{__name__}:take_reference_steps"
    done = COMMANDS.run([], folder=hermetic, environment={"PYTHONWARNINGS": "default"}, timeout=120, program=program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stepped True\n", "")


def take_reference_steps():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = optimizer_entry("adabound_reference").factory({"lr": 0.1, "weight_decay": 0.1})([weight])
    for _ in range(2):
        weight.grad = torch.ones(3)
        optimizer.step()
    print("stepped", bool((weight < 1).all()))


def test_names_and_spaces_cost_no_torch():
    code = """
import sys, bench.kinds.optimizers.spec
from bench.optimizers import OPTIMIZERS, optimizer_entry
from bench.optimizers.space import log_ranges, rate_of
optimizer_entry("adam").resolve({"betas": (0.9, 0.99)})
assert all(rate_of(log_ranges(entry.space)) for entry in OPTIMIZERS.values())
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("name", "more"),
    [("adabound", {"decoupled_weight_decay": True}), ("amsbound", {"decoupled_weight_decay": True}), ("adaboundw", {})],
)
def test_every_hyperparameter_of_adabound_reaches_it(name, more):
    given = {
        "lr": 2e-3, "final_lr": 0.3, "gamma": 2e-3, "betas": (0.8, 0.99), "eps": 1e-5, "weight_decay": 1e-4,
        "scale_final_lr": False, **more,
    }  # fmt: skip
    assert {*given} == {*optimizer_entry(name).hyperparameters}
    (group,) = optimizer_entry(name).factory(given)([torch.nn.Parameter(torch.zeros(2))]).param_groups
    assert {key: group[key] for key in given} == given


def test_a_weight_decay_of_0_is_left_out_where_there_is_none():
    entry = optimizer_entry("rprop")
    assert entry.resolve({"lr": 0.1, "weight_decay": 0.0}) == {"lr": 0.1}
    for decay in (0.1, 1, -1.0):
        with pytest.raises(SettingsError, match=f"rprop: has no weight_decay, and the weight decay of all is {decay}"):
            entry.resolve({"lr": 0.1, "weight_decay": decay})


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("lr", True), ("eps", True), ("beta1", True), ("one_minus_beta2", True), ("betas", False), ("amsgrad", False),
        ("one_minus_amsgrad", False), ("effective_lr", False), ("fused", False), ("unknown", False),
    ],
)  # fmt: skip
def test_what_is_one_number_is_told_by_its_default(name, number):
    assert optimizer_entry("adamw").takes_number(name) is number


def test_to_see_how_it_is_driven_an_optimizer_is_built_at_rates_that_show():
    given = {"lr": 1e-6, "final_lr": 5e-3, "gamma": 1e-4, "eps": 1e-8, "weight_decay": 1e-3}
    weights = [torch.nn.Parameter(torch.zeros(2))]
    visible, real = ({**maker(weights).defaults} for maker in optimizer_entry("adabound").makers(given))
    assert {name: real[name] for name in given} == given
    assert {name: visible[name] for name in given} == given | {"lr": 1e-2, "final_lr": 1e-2}
    large = {"lr": 0.05, "final_lr": 1e-2}
    visible, _ = optimizer_entry("adabound").makers(large)
    assert {name: visible(weights).defaults[name] for name in large} == large


def test_a_class_of_torch_without_betas_and_momentum_is_searched_around_its_own_rate():
    assert optimizer_entry("rprop").space == {"lr": Log(1e-4, 1.0)}
    assert optimizer_entry("rprop").names_inside_by == ""
