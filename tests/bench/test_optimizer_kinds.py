"""Optimizers of each convention of the field are recognised, built as they ask and driven: a class of each."""

import ast

import pytest
import torch

from bench.optimizers import optimizer_entry
from bench.optimizers.building import Construction, reads_matrix_flag
from bench.optimizers.check import check_optimizer
from bench.optimizers.line import optimizer_line
from bench.optimizers.own_schedules import own_schedules
from bench.optimizers.recognition import Probe, Recognised, recognise
from bench.optimizers.space import Log
from bench.optimizers.unfit import check_trains
from bench.report.driving_note import driving_note
from bench.report.python_call import python_call
from posemodel.errors import SettingsError
from posemodel.training.driving import Driver
from posemodel.training.optimizer_maker import Driving, OptimizerMaker, Training
from tests.support.optimizer_kinds import KINDS


@pytest.fixture
def kinds(hermetic, monkeypatch):
    (hermetic / "own_kinds.py").write_text(KINDS)
    monkeypatch.syspath_prepend(str(hermetic))
    monkeypatch.delitem(__import__("sys").modules, "own_kinds", raising=False)
    return "own_kinds"


def checked(name, **given):
    return check_trains(optimizer_entry(name), {"lr": 0.01, **given})


@pytest.mark.parametrize(
    ("name", "driving", "evaluations"),
    [
        ("Closing", Driving(closure="only"), 1),
        ("Loss", Driving(closure="only"), 1),
        ("Away", Driving(closure="only", away=True), 1),
        ("Sharp", Driving(closure="after_gradients"), 2),
        ("Sharp(adamw)", Driving(closure="after_gradients"), 2),
        ("Sharp(own_kinds.Averaged)", Driving(closure="after_gradients", modes=True), 2),
        ("Curved", Driving(graph=True), 2),
        ("Averaged", Driving(modes=True), 1),
        ("OfNames", Driving(), 1),
        ("OfNetwork", Driving(), 1),
        ("Planned", Driving(), 1),
        ("Around", Driving(), 1),
        ("Around(own_kinds.Averaged)", Driving(modes=True), 1),
        ("Flagged", Driving(), 1),
        ("Flattening", Driving(), 1),
        ("OnlyMatrices+adamw", Driving(), 1),
        ("OnlyMatrices + own_kinds.Averaged", Driving(modes=True), 1),
        ("Rebinding+adamw", Driving(), 1),
        ("RebindingFlat", Driving(), 1),
        ("Sharp(own_kinds.OnlyMatrices+adamw)", Driving(closure="after_gradients"), 2),
        ("Willing", Driving(closure="only"), 1),
        ("Helping", Driving(), 1),
        ("PassesOn", Driving(), 1),
        ("ByPosition", Driving(), 1),
        ("SharpByFactory", Driving(closure="after_gradients"), 2),
        ("Passing", Driving(), 1),
        ("OverBase", Driving(), 1),
    ],
)
def test_each_kind_is_recognised_and_driven(kinds, name, driving, evaluations):
    result = checked(f"{kinds}.{name}", **({"rest_lr": 0.01} if "+" in name else {}))
    assert result.maker.driving == driving
    assert result.evaluations == evaluations


def test_lbfgs_of_pytorch():
    result = check_trains(optimizer_entry("lbfgs"), {"lr": 0.1})
    assert result.maker.driving == Driving(closure="only")
    assert result.evaluations > 5


@pytest.mark.parametrize(
    "name",
    ["Closing", "OfNames", "OfNetwork", "Flagged", "Flattening", "Passing", "Planned", "RebindingFlat", "ByPosition"],
)
def test_a_step_is_that_of_sgd(kinds, name):
    """What needs another way of driving still computes what it says: these are SGD."""
    plain, own = Probe(), Probe()
    sgd = torch.optim.SGD(plain.network.parameters(), lr=0.25)
    maker = optimizer_entry(f"{kinds}.{name}").factory({"lr": 0.25})
    driver = Driver(maker.make(own.training()), maker.driving, own.network)
    for _ in range(3):
        plain.evaluate()
        sgd.step()
        driver.step(own.evaluate)
    assert all(torch.equal(one, other) for one, other in zip(plain.weights(), own.weights(), strict=True))


def test_one_for_matrices_and_one_for_the_rest_train_their_own_weights(kinds):
    both, first, rest = Probe(), Probe(), Probe()
    maker = optimizer_entry(f"{kinds}.OnlyMatrices+adamw").factory({"lr": 0.25, "rest_lr": 0.5})
    driver = Driver(maker.make(both.training()), maker.driving, both.network)
    sgd = torch.optim.SGD([each for each in first.network.parameters() if each.ndim > 1], lr=0.25)
    driver.step(both.evaluate)
    first.evaluate()
    sgd.step()
    rest.evaluate()
    others = [each for each in rest.network.parameters() if each.ndim < 2]
    torch.optim.AdamW(others, lr=0.5, weight_decay=0.0).step()  # SGD's toy has no decay, so that the pair has none
    for got, one, other in zip(both.weights(), first.weights(), rest.weights(), strict=True):
        assert torch.allclose(got, one if got.ndim > 1 else other, rtol=1e-5)  # AdamW's own step is the fused one


def test_a_part_of_a_pair_that_trains_nothing_is_noticed(kinds):
    with pytest.raises(SettingsError, match="its step changes no weight"):
        checked(f"{kinds}.Idle+adamw", rest_lr=0.01)


def test_how_an_optimizer_is_driven_does_not_depend_on_its_rate(kinds):
    for lr in (1e-7, 1e-3, 0.1):
        maker = optimizer_entry(f"{kinds}.Willing").factory({"lr": lr})
        assert maker.driving == Driving(closure="only"), lr


def test_a_wrapper_over_a_pair_sees_the_gradients_of_all_weights(kinds):
    """The weights are moved by rho along each gradient before the second evaluation."""
    probe = Probe()
    maker = optimizer_entry(f"{kinds}.Sharp(own_kinds.OnlyMatrices+adamw)").factory({"lr": 0.1, "rho": 0.5})
    optimizer = maker.make(probe.training())
    for _ in range(2):
        before, seen, gradients = probe.weights(), [], []

        def evaluate(seen=seen, gradients=gradients):
            seen.append(probe.weights())
            loss = probe.evaluate()
            gradients.append([each.grad.norm().item() for each in probe.network.parameters()])
            return loss

        assert Driver(optimizer, maker.driving, probe.network).step(evaluate) == 2
        for here, there, gradient in zip(before, seen[1], gradients[0], strict=True):
            if gradient > 1e-3:  # a bias before batch norm has none
                assert (there - here).norm().item() == pytest.approx(0.5, rel=1e-3)


def test_the_study_s_weight_decay_is_that_of_all_parts(kinds):
    def decays(name, **given):
        groups = optimizer_entry(name).factory({"weight_decay": 0.0, **given}).make(Probe().training()).param_groups
        return [group.get("weight_decay", 0.0) for group in groups]

    assert decays(f"{kinds}.OnlyMatrices+adamw") == [0.0, 0.0]
    assert decays("rprop+adamw") == [0.0, 0.0]
    assert decays(f"{kinds}.Around(adamw)") == [0.0]
    assert decays(f"{kinds}.OnlyMatrices+adamw", rest_weight_decay=0.5) == [0.0, 0.5]
    decaying = optimizer_entry(f"{kinds}.DecayingWrapper(adamw)").factory({"weight_decay": 0.25})
    made = decaying.make(Probe().training())
    assert [group["weight_decay"] for group in made.param_groups] == [0.0]


def test_arguments_that_nobody_takes_are_refused(kinds):
    with pytest.raises(SettingsError, match="no hyperparameter 'base_optimizer'"):
        optimizer_entry(f"{kinds}.Sharp+adamw").resolve({"base_optimizer": "no_such_optimizer"})
    with pytest.raises(SettingsError, match="no hyperparameter 'base_base_optimizer'"):
        optimizer_entry(f"{kinds}.Sharp(own_kinds.Sharp)").resolve({"base_base_optimizer": "adam"})
    nested = optimizer_entry(f"{kinds}.Sharp(own_kinds.Sharp(own_kinds.Sharp(sgd)))").hyperparameters
    assert {"rho", "base_rho", "base_base_rho"} <= nested.keys()


def test_a_plan_over_steps_counts_updates(kinds):
    network = torch.nn.Linear(2, 2)
    maker = optimizer_entry(f"{kinds}.Sharp(own_kinds.Planned)").factory({"lr": 0.1, "num_data": 3})
    made = maker.make(Training(list(network.parameters()), network, steps=100))
    assert made.base_optimizer.planned == (50, 3)


def test_a_required_rate_of_a_base_may_be_given(kinds):
    entry = optimizer_entry(f"{kinds}.PassesOn")
    assert "scale" in entry.hyperparameters
    assert "lr" in entry.space
    assert entry.factory({"lr": 0.5}).make(Probe().training()).param_groups[0]["lr"] == 0.5


def test_what_a_wrapper_and_a_pair_take(kinds):
    sharp = optimizer_entry(f"{kinds}.Sharp")
    assert sharp.hyperparameters == {
        "rho": 0.05,
        "base_optimizer": "sgd",
        "lr": 1e-3,
        "momentum": 0.9,
        "weight_decay": 0.0,
    }
    assert sharp.space == optimizer_entry("sgd").space
    over_adamw = optimizer_entry(f"{kinds}.Sharp(adamw)")
    assert "base_optimizer" not in over_adamw.hyperparameters
    assert over_adamw.components["beta1"] == ("betas", 0)
    assert over_adamw.space == optimizer_entry("adamw").space
    around = optimizer_entry(f"{kinds}.Around")
    assert (around.hyperparameters["momentum"], around.hyperparameters["base_momentum"]) == (0.5, 0.9)
    pair = optimizer_entry(f"{kinds}.OnlyMatrices+adam")
    assert {"lr", "rest_lr", "rest_betas"} <= {*pair.hyperparameters}
    assert pair.components["rest_beta2"] == ("rest_betas", 1)
    assert [*pair.space] == ["lr", "rest_lr", "one_minus_rest_beta1", "one_minus_rest_beta2"]
    assert pair.resolve({"lr": 0.1, "rest_lr": 0.2, "one_minus_rest_beta1": 0.25, "one_minus_rest_beta2": 0.5}) == {
        "lr": 0.1,
        "rest_lr": 0.2,
        "rest_betas": (0.75, 0.5),
    }
    with_sgd = optimizer_entry(f"{kinds}.OnlyMatrices+sgd")
    assert with_sgd.space["rest_lr"] == Log(pytest.approx(1e-4), pytest.approx(3.0))
    assert with_sgd.resolve({"one_minus_rest_momentum": 0.25, "rest_lr": 1.0}) == {
        "rest_momentum": 0.75,
        "rest_lr": 1.0,
    }


def test_the_weight_decay_of_a_pair_is_that_of_both(kinds):
    maker = optimizer_entry(f"{kinds}.Decaying+adamw").factory({"weight_decay": 0.25})
    assert [group["weight_decay"] for group in maker.make(Probe().training()).param_groups] == [0.25, 0.25]
    maker = optimizer_entry(f"{kinds}.Decaying+adamw").factory({"weight_decay": 0.25, "rest_weight_decay": 0.5})
    assert [group["weight_decay"] for group in maker.make(Probe().training()).param_groups] == [0.25, 0.5]
    with pytest.raises(SettingsError, match="has no weight_decay"):
        optimizer_entry(f"{kinds}.OnlyMatrices+adamw").factory({"weight_decay": 0.25})


def test_a_space_names_the_optimizer_inside(kinds):
    maker = optimizer_entry(f"{kinds}.Sharp").factory({"base_optimizer": "adam", "lr": 0.1, "beta1": 0.5, "rho": 0.1})
    made = maker.make(Probe().training())
    assert type(made.base_optimizer) is torch.optim.Adam
    assert made.param_groups[0]["betas"] == (0.5, 0.999)
    assert made.param_groups[0]["rho"] == 0.1
    with pytest.raises(SettingsError, match="base_optimizer must be the name of an optimizer, got 3"):
        optimizer_entry(f"{kinds}.Sharp").resolve({"base_optimizer": 3})
    with pytest.raises(SettingsError, match="no hyperparameter 'momentum'"):
        optimizer_entry(f"{kinds}.Sharp").resolve({"base_optimizer": "adam", "momentum": 0.9})


def test_numbers_of_the_training_are_filled_in_or_given(kinds):
    entry = optimizer_entry(f"{kinds}.Planned")
    network = torch.nn.Linear(2, 2)
    training = Training(list(network.parameters()), network, steps=70, samples=12)
    assert entry.factory({}).make(training).planned == (70, 12)
    assert entry.factory({"num_iterations": 5.0}).make(training).planned == (5, 12)
    with pytest.raises(SettingsError, match="num_iterations is the number of steps of the training, which a budget in"):
        entry.factory({}).make(Training(list(network.parameters()), network, samples=12))
    with pytest.raises(SettingsError, match="num_data is the number of training samples, which is not known here"):
        entry.factory({}).make(Training(list(network.parameters()), network, steps=70))
    given = entry.factory({"num_iterations": 5, "num_data": 6})
    assert given.make(Training(list(network.parameters()), network)).planned == (5, 6)


def test_what_is_made_from_the_network_takes_no_groups(kinds):
    network = torch.nn.Linear(2, 2)
    groups = [{"params": [network.weight]}, {"params": [network.bias], "lr": 0.5}]
    maker = optimizer_entry(f"{kinds}.OfNetwork").factory({})
    assert maker.make(Training(list(network.parameters()), network)).model is network
    with pytest.raises(SettingsError, match=r"groups: optimizer own_kinds\.OfNetwork is made from the network"):
        maker.make(Training(groups, network))
    with pytest.raises(SettingsError, match="is made from the network, and only its parameters are known here"):
        maker([network.weight])


def test_keywords_of_a_base_with_required_arguments_are_not_this_class_s(kinds):
    assert optimizer_entry(f"{kinds}.Passing").hyperparameters == {"lr": 0.01}
    assert optimizer_entry(f"{kinds}.OverBase").hyperparameters == {"lr": 0.01, "scale": 1.0}


def test_a_learning_rate_that_is_a_tensor_by_default(hermetic, monkeypatch):
    (hermetic / "own_tensor.py").write_text(
        "import torch\nclass Tensors(torch.optim.Adam):\n"
        " def __init__(self, params, lr=torch.tensor(0.01)): super().__init__(params, lr=lr, foreach=False)"
    )
    monkeypatch.syspath_prepend(str(hermetic))
    entry = optimizer_entry("own_tensor.Tensors")
    assert entry.hyperparameters == {"lr": pytest.approx(0.01)}
    assert entry.space == {"lr": Log(pytest.approx(1e-4), pytest.approx(1.0))}
    check_trains(entry, {})
    assert optimizer_line(entry, {}, 0.0) == "own_tensor.Tensors(model.parameters(), lr=0.01)"


def test_a_number_of_the_training_may_stand_before_the_network(hermetic, monkeypatch):
    (hermetic / "own_order.py").write_text(
        "import torch\nclass Ordered(torch.optim.SGD):\n"
        " def __init__(self, params, total_steps, model, lr=0.01): super().__init__(params, lr=lr)"
    )
    monkeypatch.syspath_prepend(str(hermetic))
    line = optimizer_line(optimizer_entry("own_order.Ordered"), {"lr": 0.5}, 0.0, steps=70)
    assert line == "own_order.Ordered(model.parameters(), model=model, lr=0.5, total_steps=70)"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sgd+adam+adamw", "it joins more than two optimizers"),
        ("+adam", "must name an optimizer for matrices + one for the rest"),
        ("own_kinds.Sharp(adam", "its parentheses do not match"),
        ("own_kinds.Sharp()", "it must be a wrapper and the optimizer inside"),
        ("own_kinds.Passing(adam)", "own_kinds.Passing is no wrapper: it takes no other optimizer"),
        ("adam(sgd)", "adam must be the dotted path of a wrapper"),
        ("own_kinds.Sharp(adamm)", "no optimizer is called 'adamm', did you mean adam?"),
    ],
)
def test_names_that_cannot_be(kinds, name, message):
    with pytest.raises(SettingsError) as caught:
        optimizer_entry(name)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "given", "line"),
    [
        (
            "own_kinds.Sharp",
            {"effective_lr": 1.0, "one_minus_momentum": 0.5, "rho": 0.1},
            'bench.optimizers.optimizer_entry("own_kinds.Sharp").factory({"lr": 0.5, "momentum": 0.5, "rho": 0.1})',
        ),
        (
            "own_kinds.Around",
            {"lr": 0.5},
            'bench.optimizers.optimizer_entry("own_kinds.Around").factory({"lr": 0.5})',
        ),
        ("own_kinds.OfNames", {"lr": 0.5}, "own_kinds.OfNames(model.named_parameters(), lr=0.5)"),
        ("own_kinds.OfNetwork", {}, "own_kinds.OfNetwork(model, lr=0.01)"),
        (
            "own_kinds.Planned",
            {"num_data": 7},
            "own_kinds.Planned(model.parameters(), lr=0.01, num_iterations=500, num_data=7)",
        ),
        (
            "own_kinds.Planned",
            {"num_iterations": 9},
            "own_kinds.Planned(model.parameters(), lr=0.01, num_iterations=9, num_data=len(dataset))",
        ),
        (
            "own_kinds.Flagged",
            {},
            'own_kinds.Flagged([{"params": [p for p in model.parameters() if p.ndim > 1], "use_muon": True}, '
            '{"params": [p for p in model.parameters() if p.ndim < 2], "use_muon": False}], lr=0.01)',
        ),
        (
            "own_kinds.OnlyMatrices+sgd",
            {"rest_lr": 0.5},
            'bench.optimizers.optimizer_entry("own_kinds.OnlyMatrices+sgd").factory({"lr": 0.01, "rest_lr": 0.5})',
        ),
    ],
)
def test_the_line_to_paste(kinds, name, given, line):
    assert optimizer_line(optimizer_entry(name), given, 0.0, steps=500) == line


@pytest.mark.parametrize(
    ("evaluations", "steps", "planned"), [(1.0, 10, 10), (2.0, 11, 6), (20.0, 9, 1), (2.0, None, None)]
)
def test_a_class_that_plans_its_schedule_is_told_of_its_own_steps(evaluations, steps, planned):
    """A budget counts gradient evaluations, of which a step may take several."""
    told = []
    maker = Recognised(Driving(), evaluations=evaluations).applied_to(OptimizerMaker(told.append))
    maker.build(Training([], steps=steps))
    assert [each.steps for each in told] == [planned]


class ReadsFlag:
    def flags(self):
        return [group["use_muon"] for group in self.param_groups]


class FlaggedBesidePyTorch(torch.optim.SGD, ReadsFlag):
    pass


@pytest.mark.parametrize(("optimizer_class", "reads"), [(FlaggedBesidePyTorch, True), (torch.optim.SGD, False)])
def test_the_flag_of_matrices_is_read_by_a_class_or_any_of_its_bases(optimizer_class, reads):
    made = type("Made", (optimizer_class,), {})  # its own source is not to be had
    assert (reads_matrix_flag(made), reads_matrix_flag(optimizer_class)) == (reads, reads)


def test_a_wrapper_leaves_the_flag_to_the_optimizer_inside():
    inside = optimizer_entry("sgd")
    found = [Construction("own", FlaggedBesidePyTorch, None, each).by_matrix_flag for each in (None, inside)]
    assert found == [True, False]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("own_kinds.Sharp(adamw)", {"lr": 0.5, "one_minus_beta1": 0.2}),
        ("own_kinds.Sharp", {"base_optimizer": "adamw", "lr": 0.5}),
        ("own_kinds.OnlyMatrices+sgd", {"lr": 0.25, "rest_lr": 0.5}),
        ("own_kinds.Planned", {"num_data": 7}),
        ("own_kinds.Flagged", {}),
        ("lbfgs", {"lr": 0.5}),
    ],
)
def test_the_line_runs_as_it_is_pasted(kinds, name, given):
    text = python_call(optimizer_line(optimizer_entry(name), given, 0.0, steps=500))
    ast.parse(text)
    *imports, call = text.split("\n", 1) if text.startswith("from ") else ["", text]
    model = torch.nn.Linear(3, 2)
    names = {"torch": torch, "model": model}
    exec("\n".join(imports), names)
    made = eval(call, names)
    if isinstance(made, OptimizerMaker):
        made = made.make(Training(list(model.parameters()), model, steps=500))
    straight = (
        optimizer_entry(name)
        .factory({**given, "weight_decay": 0.0})
        .make(Training(list(model.parameters()), model, steps=500))
    )
    assert [{**group, "params": 0} for group in made.param_groups] == [
        {**group, "params": 0} for group in straight.param_groups
    ]


def test_a_long_line_is_broken_within_the_factory_s_arguments(kinds):
    values = {"lr": 0.5, "one_minus_beta1": 0.2, "eps": 1e-7, "rho": 0.125}
    text = python_call(optimizer_line(optimizer_entry("own_kinds.Sharp(adamw)"), values, 0.0))
    assert text.splitlines()[:2] == [
        "from bench.optimizers import optimizer_entry",
        'optimizer_entry("own_kinds.Sharp(adamw)").factory(',
    ]
    ast.parse(text)


def test_a_sentence_says_how_the_line_s_optimizer_is_driven():
    assert driving_note("torch.optim.SGD(model.parameters(), lr=0.1)", None) == ""
    assert "`make_driven` and `Driver`" in driving_note('optimizer_entry("muon+adamw").factory({})', None)
    lbfgs = driving_note("torch.optim.LBFGS(model.parameters())", "step(closure)")
    assert "Its steps need step(closure): `Driver`" in lbfgs


@pytest.mark.parametrize("name", ["Closing", "Sharp", "Curved", "Averaged"])
def test_a_loop_that_only_calls_step_is_told_that_it_needs_more(kinds, name):
    maker = optimizer_entry(f"{kinds}.{name}").factory({"lr": 0.1})
    with pytest.raises(SettingsError, match="optimizer: it needs more than `step"):
        maker([torch.nn.Parameter(torch.ones(2, 2))])


def test_a_probe_leaves_the_random_numbers_alone(kinds):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    recognise(optimizer_entry(f"{kinds}.Sharp").factory({}))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("name", "resumes"),
    [
        ("tests.support.driven_optimizers.Ahead", True),
        ("tests.support.driven_optimizers.Forgetful(5)", False),
        ("tests.support.driven_optimizers.Forgetful(10)", False),
    ],
)
def test_the_check_sees_whether_a_count_is_restored(name, resumes):
    path, _, k = name.rstrip(")").partition("(")
    result = check_optimizer(path, {"lr": 0.01, **({"k": int(k)} if k else {})})
    assert (result.passes, result.resumes) == (True, resumes), result.reason


def test_the_schedule_is_that_of_the_optimizer_that_a_space_names(kinds):
    pytest.importorskip("prodigyopt")
    name = f"{kinds}.Sharp"
    assert own_schedules({name: {"lr": {"value": 0.1}}}) == {}
    assert own_schedules({name: {"base_optimizer": {"value": "prodigyopt.Prodigy"}}}) == {name: "fixed"}
    with pytest.raises(SettingsError, match="base_optimizer is searched over optimizers with different schedules"):
        own_schedules({name: {"base_optimizer": {"values": ["adam", "prodigyopt.Prodigy"]}}})
