"""Any other optimizer: PyTorch's classes by name, the user's by dotted path, and a sentence where one cannot be."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from bench.optimizers import optimizer_entry
from bench.optimizers.classes import class_entry, plain_rates
from bench.optimizers.earlier_spaces import EARLIER, as_begun
from bench.optimizers.implementation import implementation_of
from bench.optimizers.same_algorithm import same_algorithm
from bench.optimizers.space import Fixed, Log, as_document
from bench.optimizers.spaces import spaces_of
from bench.optimizers.unfit import check_trains
from bench.optimizers.weight_decay import WeightDecay, decay_of, decay_text, decoupled_as_begun, with_decay
from posemodel.errors import SettingsError

SIGN_SGD = "tests.support.toy_optimizer.SignSGD"
WORKING = ("adafactor", "adamax", "adamw", "asgd", "nadam", "radam", "rmsprop", "rprop")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a module into an importable folder."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)

    yield write
    for name in [path.stem for path in tmp_path.glob("*.py")]:
        sys.modules.pop(name, None)


def refused(names, changes=None, **more) -> str:
    with pytest.raises(SettingsError) as error:
        spaces_of(names, changes or {}, dict.fromkeys(changes or {}, "file x.toml"), **more)
    return str(error.value)


def step(name, **hyperparameters):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 2, 3)
    before = [weight.detach().clone() for weight in layer.parameters()]
    optimizer = optimizer_entry(name).factory(hyperparameters)(layer.parameters())
    layer(torch.randn(2, 3, 5, 5)).square().mean().backward()
    optimizer.step()
    assert not any(torch.equal(weight, old) for weight, old in zip(layer.parameters(), before, strict=True))
    return optimizer


@pytest.mark.parametrize("name", WORKING)
def test_every_class_of_torch_that_trains_a_network_is_taken_by_name(name):
    (space,) = spaces_of([name], {}, {}).values()
    default = optimizer_entry(name).hyperparameters["lr"]
    around = {"log": [pytest.approx(default / 100), pytest.approx(default * 100)]}
    if name in ("adamax", "adamw", "nadam", "radam"):
        assert space["lr"] == {"log": [1e-5, 0.1]}, "as Adam's"
    elif name == "adafactor":
        assert space == {"lr": {"log": [1e-3, 0.1]}}, "as published"
    else:
        assert space == {"effective_lr" if name == "rmsprop" else "lr": around}
    step(name, lr=default, weight_decay=0.0)


def test_names_of_classes_are_taken_in_any_case_and_by_path():
    kinds = {type(step(name)) for name in ("radam", "RAdam", "RADAM", "torch.optim.RAdam", "torch.optim.radam.RAdam")}
    assert kinds == {torch.optim.RAdam}
    assert optimizer_entry("Adam") is optimizer_entry("adam")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("muon", "Muon only supports 2D parameters"),
        ("sparseadam", "SparseAdam does not support dense gradients"),
    ],
)
def test_a_class_that_cannot_train_a_network_is_refused_before_the_study_with_the_reason(name, why):
    message = refused([name])
    assert message.startswith(f"optimizer {name}: ")
    assert why in message


def test_weight_decay_is_the_study_s_and_not_the_class_s_own():
    assert step("adamw", weight_decay=0.0).defaults["weight_decay"] == 0.0
    assert step("adamw").defaults["weight_decay"] == 0.01


def test_a_class_of_the_user_is_taken_by_its_path():
    entry = optimizer_entry(SIGN_SGD)
    assert entry.space == {"lr": Log(1e-5, 0.1)}
    assert entry.hyperparameters == {"lr": 1e-3, "momentum": 0.0}
    optimizer = step(SIGN_SGD, lr=0.5, momentum=0.9, weight_decay=0.0)
    assert optimizer.defaults == {"lr": 0.5, "momentum": 0.9}
    assert implementation_of(optimizer) == SIGN_SGD


def test_a_class_without_weight_decay_is_refused_where_there_is_some():
    spaces_of([SIGN_SGD], {}, {}, weight_decay=0.0)
    assert "has no weight_decay" in refused([SIGN_SGD], weight_decay=0.1)
    with pytest.raises(SettingsError, match="has no weight_decay"):
        optimizer_entry(SIGN_SGD).factory({"weight_decay": 0.1})


HEAD = "import torch\nfrom torch.optim import Optimizer, SGD\n"


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (HEAD, "own_optimizers.Lion", "the module own_optimizers has no class 'Lion'."),
        (HEAD + "class Lion(SGD): pass", "own_optimizers.Lyon", "has no class 'Lyon', did you mean Lion?"),
        ("class Lion: pass", "own_optimizers.Lion", "is not a class derived from torch.optim.Optimizer"),
        ("Lion = 3", "own_optimizers.Lion", "is not a class derived from torch.optim.Optimizer"),
        ("1 / 0", "own_optimizers.Lion", "importing own_optimizers fails with ZeroDivisionError"),
        ("raise SystemExit(2)", "own_optimizers.Lion", "importing own_optimizers fails with SystemExit"),
        (
            "import nowhere_to_be_found",
            "own_optimizers.Lion",
            "fails with ModuleNotFoundError: No module named 'nowhere",
        ),
        (HEAD + "class LION(SGD): pass", "own_optimizers.lion", "has no class 'lion', did you mean LION?"),
        ("", "torch.optim.adamw", "torch.optim has no class 'adamw', did you mean AdamW?"),
        ("", "torch.optim.radam", "torch.optim has no class 'radam', did you mean RAdam?"),
        ("", "torch.optim.nadam", "torch.optim has no class 'nadam', did you mean NAdam?"),
        ("", "torch.optm.RAdam", "there is no module 'torch.optm', did you mean optim?"),
        ("", "not_there.Lion", "there is no module 'not_there'. It must be installed"),
        ("", "own_optimizers.deep.Lion", "there is no module 'own_optimizers.deep'"),
        (
            HEAD + "class Lion(Optimizer):\n def __init__(self, params, lr=1): super().__init__(params, {'lr': lr})",
            "own_optimizers.Lion",
            "fails with NotImplementedError",
        ),
        (
            HEAD + "class Lion(SGD):\n def step(self):\n  raise KeyError('moment')",
            "own_optimizers.Lion",
            "fails with KeyError: 'moment'",
        ),
        (
            HEAD + "class Lion(Optimizer):\n def __init__(self, params, rate=1.0): super().__init__(params, {})",
            "own_optimizers.Lion",
            "has no learning rate `lr` to search: give it a space",
        ),
        (
            HEAD + "class Lion(SGD):\n def __init__(self, params, lr, teacher): super().__init__(params, lr)",
            "own_optimizers.Lion",
            "teacher must be given",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence_that_names_it(module, text, path, message):
    module("own_optimizers", text)
    found = refused([path])
    assert message in found
    assert path in found
    assert "\n" not in found


KEYWORDS = """
class Plain(SGD):
    def __init__(self, params, **kwargs):
        super().__init__(params, **kwargs)

class Same(SGD):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)

class Other(Plain):
    def __init__(self, weights, lr=0.5, *, every: int = 2, **rest):
        super().__init__(weights, lr=lr, **rest)

class Closed(Plain):
    def __init__(self, params, lr=0.5):
        super().__init__(params, lr=lr)

class First(Optimizer):
    def __init__(self, params, lr=0.5, **defaults):
        super().__init__(params, {"lr": lr, **defaults})
    def step(self): pass
"""


def test_keywords_that_a_class_passes_on_are_those_of_its_bases(module):
    module("own_keywords", HEAD + KEYWORDS)
    base = optimizer_entry("torch.optim.SGD").hyperparameters
    for name in ("Plain", "Same"):
        entry = optimizer_entry(f"own_keywords.{name}")
        assert entry.hyperparameters == base
        assert entry.space == {"lr": Log(base["lr"] / 100, base["lr"] * 100)}
        made = entry.factory({"lr": 0.1, "momentum": 0.5})([torch.nn.Parameter(torch.ones(2))])
        assert (made.defaults["lr"], made.defaults["momentum"]) == (0.1, 0.5)
    assert optimizer_entry("own_keywords.Other").hyperparameters == base | {"lr": 0.5, "every": 2}
    assert optimizer_entry("own_keywords.Closed").hyperparameters == {"lr": 0.5}
    assert optimizer_entry("own_keywords.First").hyperparameters == {"lr": 0.5}
    for name in ("Plain", "Same", "Other", "Closed"):
        check_trains(optimizer_entry(f"own_keywords.{name}"), {"lr": 0.1})
    with pytest.raises(SettingsError, match="its step changes no weight"):  # its step is empty
        check_trains(optimizer_entry("own_keywords.First"), {"lr": 0.1})
    with pytest.raises(SettingsError, match=r"no hyperparameter 'momentun', did you mean momentum\?"):
        optimizer_entry("own_keywords.Plain").resolve({"momentun": 0.5})


def test_a_class_without_a_rate_is_searched_over_what_it_has(module):
    module(
        "rateless",
        HEAD + "class Lion(Optimizer):\n"
        " def __init__(self, params, rate=1.0): super().__init__(params, {'rate': rate})\n"
        " @torch.no_grad()\n"
        " def step(self):\n"
        "  for group in self.param_groups:\n"
        "   for p in group['params']: p.sub_(p.grad, alpha=group['rate'])",
    )
    space = {"rate": {"log": [0.1, 1]}}
    assert spaces_of(["rateless.Lion"], {"rateless.Lion": space}, {"rateless.Lion": "here"}) == {"rateless.Lion": space}


def test_a_required_rate_is_searched_over_the_whole_range(module):
    module("own_sgd", HEAD + "class Mine(SGD):\n def __init__(self, params, lr): super().__init__(params, lr)")
    assert spaces_of(["own_sgd.Mine"], {}, {}) == {"own_sgd.Mine": {"lr": {"log": [1e-5, 1.0]}}}


def test_counts_flags_and_words_reach_the_class_in_their_own_types(module):
    module(
        "own_types",
        HEAD + "class Lion(SGD):\n"
        " def __init__(self, params, lr=0.1, every=3, mode='plain', slow=False, *, times: int = 2, rest=None):\n"
        "  super().__init__(params, lr)\n"
        "  self.seen = (every, mode, slow, times, rest)",
    )
    given = {"every": 5.0, "mode": "other", "slow": True, "times": 4.0, "rest": [1.0, 2.0]}
    seen = optimizer_entry("own_types.Lion").factory(given)([torch.nn.Parameter(torch.ones(1))]).seen
    assert repr(seen) == "(5, 'other', True, 4, (1.0, 2.0))"
    wrongs = {"every": "a number", "mode": "a word", "slow": "true or false", "times": "a whole number"}
    for name, wanted in wrongs.items():
        with pytest.raises(SettingsError, match=f"optimizer own_types.Lion: {name} must be {wanted}, got"):
            optimizer_entry("own_types.Lion").resolve({name: "4.5" if name == "every" else 4.5})


def test_an_unknown_name_names_the_nearest_of_all():
    for wrong, near in (("adamm", "adam"), ("AdamX", "adamax"), ("r-adam", "radam"), ("adadlta", "adadelta")):
        assert f"no optimizer is called {wrong!r}, did you mean {near}?" in refused([wrong])


@pytest.mark.parametrize("pair", [("radam", "torch.optim.RAdam"), ("adam", "Adam"), ("SGD", "sgd")])
def test_one_class_under_two_names_is_refused(pair):
    assert f"{pair[0]} and {pair[1]} are the same class with the same space" in refused(pair)


@pytest.mark.parametrize(
    ("pair", "space"),
    [
        (("adam", "torch.optim.Adam"), {"lr": 0.1, "beta1": 0.9}),
        (("sgd", "torch.optim.SGD"), {"momentum": 0.9}),
        (("adabound", "bench.optimizers.adabound.AdaBound"), {}),
        (("adabound_reference", "adabound.AdaBound"), {}),
    ],
)
def test_a_class_of_the_registry_by_its_path_is_the_same_optimizer(pair, space):
    changes = dict.fromkeys(pair, {"lr": {"log": [1e-4, 1e-2]}} | space)
    assert f"{pair[0]} and {pair[1]} are the same class with the same space" in refused(pair, changes)


@pytest.mark.parametrize("pair", [("sgd", "nesterov"), ("sgd", "torch.optim.SGD"), ("adabound", "amsbound")])
def test_one_class_with_other_fixed_values_is_another_optimizer(pair):
    """`sgd` and PyTorch's class differ in the momentum that they have by default."""
    changes = {name: {"lr": {"log": [1e-4, 1e-2]}} for name in pair}
    assert list(spaces_of(pair, changes, dict.fromkeys(pair, "file x.toml"))) == list(pair)


def test_one_class_with_two_spaces_is_two_optimizers():
    changes = {"torch.optim.RAdam": {"lr": {"log": [1e-4, 1e-3]}, "betas": [0.8, 0.9]}}
    spaces = spaces_of(["radam", "torch.optim.RAdam"], changes, dict.fromkeys(changes, "file x.toml"))
    assert spaces["torch.optim.RAdam"]["betas"] == {"value": [0.8, 0.9]}


@pytest.mark.parametrize("ours", ["foreach", "fused", "maximize", "capturable", "differentiable"])
def test_how_a_step_is_computed_is_no_hyperparameter(ours):
    with pytest.raises(SettingsError, match=f"optimizer adamw: {ours} is chosen here"):
        optimizer_entry("adamw").resolve({ours: True})


# --- spaces at their corners -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "space", "message"),
    [
        ("adamw", {"betas": [2, 0.9]}, "Invalid beta parameter at index 0: 2.0"),
        ("adam", {"betas": [2, 0.9]}, "Invalid beta parameter at index 0: 2.0"),
        ("adam", {"betas": {"values": [[0.9, 0.99], [0.9, 1.5]]}}, "Invalid beta parameter at index 1: 1.5"),
        ("radam", {"eps": {"values": [1e-8, -1.0, 1e-4]}}, "Invalid epsilon value: -1.0"),
        ("rmsprop", {"one_minus_alpha": {"log": [1e-3, 3.0]}}, "Invalid alpha value: -1.99"),
        ("adam", {"betas": [0.9]}, "betas must be 2 numbers"),
        ("adam", {"betas": 0.9}, "betas must be 2 numbers"),
        ("adam", {"lr": "fast"}, "lr must be a number, got 'fast'"),
        ("adam", {"bta": 0.9}, "did you mean betas?"),
        ("adamw", {"bta": 0.9}, "did you mean betas?"),
        ("adam", {"beta_1": 0.9}, "did you mean beta1?"),
        ("rprop", {"etaa": {"value": [0.5, 1.2]}}, "did you mean etas?"),
        ("adamw", {"lr": {"lag": [1e-5, 1e-2]}}, "spaces.adamw.lr: must be"),
        ("adam", {"weight_decay": 0.1}, "spaces.adam.weight_decay: is one value for all optimizers"),
    ],
)
def test_a_wrong_space_is_refused_before_the_study(name, space, message):
    found = refused([name], {name: space})
    assert found.startswith(f"file x.toml: spaces.{name}")
    assert message in found


def test_a_space_is_found_whatever_the_case_of_the_name():
    changes = {"AdamW": {"lr": {"log": [1e-4, 1e-3]}}}
    assert spaces_of(["adamw"], changes, {"AdamW": "file x.toml"}) == {"adamw": {"lr": {"log": [1e-4, 1e-3]}}}


def test_a_space_without_a_rate_keeps_the_optimizer_s_own():
    changes = {"adam": {"beta2": {"value": 0.99}}, "radam": {"eps": 1e-6}, "sgd": {"lr": 0.1}, "nesterov": {}}
    spaces = spaces_of(["adam", "RAdam", "sgd", "nesterov"], changes, dict.fromkeys(changes, "file x.toml"))
    assert spaces == {
        "adam": {"lr": {"log": [1e-5, 0.1]}, "beta2": {"value": 0.99}},
        "RAdam": {"lr": {"log": [1e-5, 0.1]}, "eps": {"value": 1e-6}},
        "sgd": {"lr": {"value": 0.1}},
        "nesterov": {"effective_lr": {"log": [1e-3, 30.0]}},
    }


@pytest.mark.parametrize(
    ("complements", "factor"),
    [(Log(0.005, 0.3), 0.1), (Log(0.2, 0.3), 0.2), (Log(0.01, 0.05), 0.05), (Fixed(0.5), 0.1)],
)
def test_a_plain_rate_is_the_effective_one_at_the_nearest_momentum_that_is_searched(complements, factor):
    """The default momentum is 0.9."""
    entry = optimizer_entry("nesterov")
    space = {**entry.space, "effective_lr": Log(0.01, 1.0), "one_minus_momentum": complements}
    assert plain_rates(replace(entry, space=space))["lr"] == Log(0.01 * factor, factor)


def test_an_effective_rate_needs_a_momentum_under_one():
    found = refused(["sgd"], {"sgd": {"one_minus_momentum": {"log": [1e-3, 1.0]}, "lr": 0.1, "effective_lr": 1.0}})
    assert found.startswith("file x.toml: spaces.sgd: ") and "lr is given twice" in found
    found = refused(["torch.optim.SGD"], {"torch.optim.SGD": {"momentum": {"values": [0.9, 1.0]}}})
    assert "momentum must be under 1, got 1; give lr" in found


# --- a weight decay that is tuned ------------------------------------------------------------------------------------

DECAY = {"log": (1e-6, 1e-2)}


def test_a_range_of_weight_decay_is_a_dimension_of_each_space_decoupled_where_the_class_can():
    names = ["sgd", "adam", "adamw", "nadam", "adabound", "amsbound", "adaboundw", "adabound_reference"]
    spaces = spaces_of(names, {}, {}, weight_decay=DECAY)
    assert all(list(space)[-1] == "weight_decay" for space in spaces.values())
    assert all(space["weight_decay"] == {"log": [1e-6, 1e-2]} for space in spaces.values())
    assert {name: space.get("decoupled_weight_decay") for name, space in spaces.items()} == {
        "sgd": None, "adam": {"value": True}, "adamw": None, "nadam": {"value": True}, "adabound": {"value": True},
        "amsbound": {"value": True}, "adaboundw": None, "adabound_reference": None,
    }  # fmt: skip
    made = optimizer_entry("adam").factory({"weight_decay": 0.1, "decoupled_weight_decay": True})
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.zeros(1)
    made([weight]).step()
    assert weight.item() == pytest.approx(1 - 1e-3 * 0.1)


def decay_of_a_step(name):
    """The share of a weight that a step without gradient takes away, at the study's decay of 0.01 and rate 0.1."""
    space = spaces_of([name], {name: {"lr": 0.1}}, {name: "file x.toml"}, weight_decay=DECAY)[name]
    flags = {each: plain["value"] for each, plain in space.items() if plain == {"value": True}}
    made = optimizer_entry(name).factory({**flags, "lr": 0.1, "weight_decay": 0.01})
    weight = torch.nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.zeros(2, 2)
    made([weight]).step()
    return 1 - weight.mean().item()


@pytest.mark.parametrize(
    "name",
    [
        "adam", "radam", "torch.optim.NAdam", "bench.optimizers.adabound.AdaBound", "pytorch_optimizer.AdaBelief",
        "pytorch_optimizer.AdEMAMix", "pytorch_optimizer.Lion", "lion_pytorch.Lion",
    ],
)  # fmt: skip
def test_a_tuned_decay_takes_rate_times_decay_of_a_weight(name):
    if name.partition(".")[0] in ("pytorch_optimizer", "lion_pytorch"):
        pytest.importorskip(name.partition(".")[0])
    assert decay_of_a_step(name) == pytest.approx(0.1 * 0.01, rel=1e-3)


class OwnLion(torch.optim.SGD):
    """A class in which the argument means something else, as in lion_pytorch: the decay is divided by the rate."""

    def __init__(self, params, lr=1e-4, weight_decay=0.0, decoupled_weight_decay=False):
        super().__init__(params, lr, weight_decay=weight_decay)


class OwnAdam(torch.optim.Adam):
    """A class that has the argument from PyTorch's."""

    def __init__(self, params, scale=1.0, **kwargs):
        super().__init__(params, **kwargs)


OWN_LION, OWN_ADAM = f"{__name__}.OwnLion", f"{__name__}.OwnAdam"


def test_the_argument_is_taken_where_it_is_known_to_decouple():
    flag = "decoupled_weight_decay"
    spaces = spaces_of([OWN_LION, OWN_ADAM], {}, {}, weight_decay=DECAY)
    assert flag not in spaces[OWN_LION]
    assert spaces[OWN_ADAM][flag] == {"value": True}


def test_a_study_that_took_it_when_it_was_begun_goes_on_with_it():
    flag, weight_decay = {"decoupled_weight_decay": {"value": True}}, {"weight_decay": {"log": [1e-6, 1e-2]}}
    now = spaces_of([OWN_LION], {}, {}, weight_decay=DECAY)
    begun = {OWN_LION: now[OWN_LION] | flag}
    assert decoupled_as_begun(now, begun) == begun
    assert decoupled_as_begun(begun, now) == begun, "somebody's own is another study"
    pytest.importorskip("lion_pytorch")
    path = "lion_pytorch.Lion"
    now = spaces_of([path], {}, {}, weight_decay=DECAY)
    begun = {path: {"lr": {"log": [1e-6, 1e-2]}, **flag, **weight_decay}}
    assert as_begun(decoupled_as_begun(now, begun), begun) == begun, "its space was the rate alone, too"


def test_the_decay_of_both_parts_of_a_pair_is_decoupled():
    (space,) = spaces_of(["adamw+adam"], {}, {}, weight_decay=DECAY).values()
    assert space["rest_decoupled_weight_decay"] == {"value": True}
    assert "decoupled_weight_decay" not in space
    (space,) = spaces_of(["adam+radam"], {}, {}, weight_decay=DECAY).values()
    assert space["decoupled_weight_decay"] == space["rest_decoupled_weight_decay"] == {"value": True}
    flags = {"decoupled_weight_decay": True, "rest_decoupled_weight_decay": True}
    made = optimizer_entry("adam+radam").factory({"lr": 0.1, "rest_lr": 0.1, "weight_decay": 0.01, **flags})
    weights = [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))]
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    made(weights).step()
    assert [1 - weight.mean().item() for weight in weights] == pytest.approx([1e-3, 1e-3], rel=1e-3)


class Around(torch.optim.SGD):
    """A wrapper with an argument of that name, which decouples nothing."""

    def __init__(self, params, base_optimizer, decoupled_weight_decay=False, **kwargs):
        super().__init__(params, lr=0.1)


def test_so_is_that_of_the_optimizer_inside_a_wrapper():
    entry = class_entry("mine.Around", Around, "adam")
    assert entry.decoupling == {"base_decoupled_weight_decay"}
    space = with_decay(entry, entry.space, DECAY)
    assert space["base_decoupled_weight_decay"] == Fixed(True)
    assert "decoupled_weight_decay" not in space


def test_a_space_may_leave_weight_decay_with_the_gradient_or_say_the_study_s_again():
    changes = {"adam": {"decoupled_weight_decay": False}, "sgd": {"lr": 0.1, "weight_decay": {"log": [1e-6, 1e-2]}}}
    spaces = spaces_of(["adam", "sgd"], changes, dict.fromkeys(changes, "file x.toml"), weight_decay=DECAY)
    assert spaces["adam"]["decoupled_weight_decay"] == {"value": False}
    assert spaces["sgd"] == {"lr": {"value": 0.1}, "weight_decay": {"log": [1e-6, 1e-2]}}
    assert "is one value for all optimizers" in refused(["sgd"], changes, weight_decay={"log": (1e-5, 1e-2)})
    assert "is one value for all optimizers" in refused(["sgd"], changes)


def test_a_class_without_weight_decay_is_refused_where_it_is_tuned():
    message = refused(["sgd", "rprop"], weight_decay=DECAY)
    assert message == (
        "optimizer rprop: has no weight_decay, and the weight decay of all is 1e-06 to 0.01, tuned. Set it to 0, or "
        "leave this optimizer out."
    )


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (0, 0.0),
        ("1e-4", 1e-4),
        ("log(1e-6, 1e-2)", DECAY),
        (" log (1e-6,1e-2) ", DECAY),
        ({"log": [1e-6, 1e-2]}, DECAY),
        (DECAY, DECAY),
    ],
)
def test_a_weight_decay_is_a_number_or_a_range(given, read):
    assert TypeAdapter(WeightDecay).validate_python(given) == read


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (-1, "must be 0 or more"),
        ("nan", "must be a finite number"),
        (True, "must be a number, or a range"),
        ("log(1e-2,1e-6)", "must be a number, or a range"),
        ("log(a,b)", "must be a number, or a range"),
        ("values(1,2)", "must be a number, or a range"),
        ({"values": [0.0, 0.1]}, "must be a number, or a range"),
        ([1e-6, 1e-2], "must be a number, or a range"),
        (None, "must be a number, or a range"),
    ],
)
def test_what_is_no_weight_decay_is_refused(given, message):
    with pytest.raises(ValidationError, match=message) as refused:
        TypeAdapter(WeightDecay).validate_python(given)
    assert refused.value.error_count() == 1


def test_the_weight_decay_of_a_trial_is_the_tuned_one():
    assert decay_of({"lr": 0.1}, 1e-4) == 1e-4
    assert decay_of({"lr": 0.1, "weight_decay": 1e-3}, DECAY) == 1e-3
    with pytest.raises(TypeError, match="is tuned, and the hyperparameters have none"):
        decay_of({"lr": 0.1}, DECAY)
    assert (decay_text(1e-4), decay_text(DECAY)) == ("0.0001", "1e-06 to 0.01, tuned")


# --- one algorithm under two names -----------------------------------------------------------------------------------


def alike(names, changes=None, weight_decay=0.0):
    changes = changes or {}
    spaces = spaces_of(names, changes, dict.fromkeys(changes, "file x.toml"), weight_decay=weight_decay)
    return same_algorithm(names, spaces, weight_decay)


LR = {"lr": {"log": [1e-4, 1e-2]}}
AMS = {"amsbound": True}


@pytest.mark.parametrize(
    ("names", "changes", "weight_decay"),
    [
        (["adam", "adamw"], {}, 0.0),
        (["adamw", "sgd", "torch.optim.Adam"], {}, 0.0),
        (["adam", "adamw"], {}, DECAY),
        (["adam", "adamw"], {"adam": {"decoupled_weight_decay": True}}, 0.1),
        (["nadam", "torch.optim.NAdam"], {"nadam": {"decoupled_weight_decay": True}}, 0.0),
        (["adam", "adamw"], {"adam": {"beta2": 0.99}, "adamw": {"betas": [0.9, 0.99]}}, 0.0),
        (["adam", "adamw"], {"adam": {"beta2": {"log": [0.9, 0.99]}}, "adamw": {"beta2": 0.99}}, 0.0),
        (["adabound", "adaboundw"], {}, 0.0),
        (["adabound", "adaboundw"], {}, DECAY),
        (["adaboundw", "bench.optimizers.adabound.AdaBound"], {}, DECAY),
        (["adabound", "adaboundw"], {"adabound": {"decoupled_weight_decay": True}}, 0.1),
    ],
)
def test_optimizers_that_differ_in_their_weight_decay_alone_are_one_algorithm_without_it(names, changes, weight_decay):
    (told,) = alike(names, changes, weight_decay)
    assert told.startswith(f"{names[0]} and {names[-1]} are one algorithm")


@pytest.mark.parametrize(
    ("names", "changes", "weight_decay"),
    [
        (["adam", "adamw"], {}, 0.1),
        (["adam", "adamw"], {"adam": {"decoupled_weight_decay": False}}, DECAY),
        (["adam", "adamw"], {"adam": {"beta2": 0.99}, "adamw": {"beta2": 0.999}}, 0.0),
        (["adam", "adamw"], {"adamw": {"amsgrad": True}}, 0.0),
        (["adam", "radam"], {}, 0.0),
        (["adabound", "amsbound"], {}, 0.0),
        (["adabound", "adaboundw"], {}, 0.1),
        (["adabound", "adaboundw"], {"adabound": {"decoupled_weight_decay": False}}, DECAY),
        (["amsbound", "adaboundw"], {}, DECAY),
        (["adaboundw", "bench.optimizers.adabound.AdaBound"], {"bench.optimizers.adabound.AdaBound": AMS}, DECAY),
        (["sgd", "nesterov", "torch.optim.SGD"], {"torch.optim.SGD": LR}, 0.0),
        (["radam", "torch.optim.RAdam"], {"radam": LR}, 0.0),
    ],
)
def test_others_are_not(names, changes, weight_decay):
    assert alike(names, changes, weight_decay) == []


def test_why_two_are_one_is_said():
    (told,) = alike(["adam", "adamw"], {"adam": LR, "adamw": LR})
    assert told == (
        "adam and adamw are one algorithm at weight decay 0: they differ only in how they apply weight decay. What "
        "sets them apart in the result lies in chance: leave one of them out."
    )
    (told,) = alike(["adam", "adamw"], weight_decay=DECAY)
    assert "both apply weight decay to the weights (decoupled)" in told
    assert "lies in chance" in told, "by default both search the same"
    (told,) = alike(["adam", "adamw"], {"adamw": LR}, weight_decay=DECAY)
    assert "lies in what is searched or in chance" in told


# --- spaces of before ------------------------------------------------------------------------------------------------


def test_a_study_goes_on_over_the_registry_s_spaces_of_when_it_was_begun():
    now = spaces_of(["SGD", "adam", "radam"], {"adam": {"lr": 0.1}}, {"adam": "file x.toml"})
    earlier = {name: as_document(space) for name, space in EARLIER.items()}
    begun = {"SGD": earlier["sgd"], "adam": earlier["adam"], "radam": {"lr": {"value": 1.0}}}
    assert as_begun(now, begun) == now | {"SGD": earlier["sgd"]}
    assert as_begun(now, {}) == now
    assert as_begun(now, {"SGD": {"lr": {"value": 1.0}}}) == now, "somebody's own is another study"


def without(space, *names):
    return {name: each for name, each in space.items() if name not in names}


def test_a_study_that_tuned_a_decay_before_its_class_could_decouple_it_goes_on_without():
    flag = "decoupled_weight_decay"
    names = ["adabound", "bench.optimizers.adabound.AMSBound", "adam", "sgd"]
    now = spaces_of(names, {}, {}, weight_decay=DECAY)
    begun = {name: without(space, flag) if "ound" in name else space for name, space in now.items()}
    assert begun["adabound"] != now["adabound"]
    assert decoupled_as_begun(now, begun) == begun
    assert decoupled_as_begun(now, now) == now
    assert decoupled_as_begun(now, {}) == now
    for others in (without(begun["adabound"], "gamma"), without(begun["adabound"], "weight_decay")):
        assert decoupled_as_begun(now, {"adabound": others}) == now, "another study"


def test_a_decay_of_one_value_is_decoupled_by_the_study_file_alone_so_that_adding_it_is_another_study():
    flag = "decoupled_weight_decay"
    changed = {"adabound": {flag: True}}
    now = spaces_of(["adabound"], changed, {"adabound": "file x.toml"}, weight_decay=0.1)
    begun = {"adabound": without(now["adabound"], flag)}
    assert decoupled_as_begun(now, begun) == now
    tuned = spaces_of(["adabound"], {"adabound": {flag: False}}, {"adabound": "file x.toml"}, weight_decay=DECAY)
    assert tuned["adabound"][flag] == {"value": False}
    assert decoupled_as_begun(tuned, {"adabound": without(tuned["adabound"], flag)}) == tuned


RATE_ALONE = {"lr": {"log": [1e-5, 0.1]}}
"""The default space of Adam's relatives in versions without families."""


def test_a_study_goes_on_over_the_spaces_that_classes_had_when_it_was_begun():
    now = spaces_of(["AdamW", "torch.optim.Adafactor", "RMSprop"], {}, {})
    begun = now | {"AdamW": RATE_ALONE, "torch.optim.Adafactor": {"lr": {"log": [1e-4, 1.0]}}}
    assert begun != now
    assert as_begun(now, begun) == begun
    assert as_begun(now, {"AdamW": {"lr": {"log": [1e-4, 0.1]}}}) == now, "that was no default"
    own = spaces_of(["AdamW"], {"AdamW": {"lr": 0.1}}, {"AdamW": "file x.toml"})
    assert as_begun(own, {"AdamW": RATE_ALONE}) == own, "nor is this"


def test_so_does_one_with_a_tuned_weight_decay():
    (now,) = spaces_of(["radam"], {}, {}, weight_decay=DECAY).values()
    then = RATE_ALONE | {name: now[name] for name in ("decoupled_weight_decay", "weight_decay")}
    assert as_begun({"radam": now}, {"radam": then}) == {"radam": then}
    other = then | {"weight_decay": {"log": [1e-9, 1.0]}}
    assert as_begun({"radam": now}, {"radam": other}) == {"radam": now}


def test_so_does_one_whose_file_leaves_the_rate_to_the_default():
    change = {"adafactor": {"d": {"log": [1.0, 2.0]}}}
    now = spaces_of(["adafactor"], change, {"adafactor": "file x.toml"})
    begun = {"adafactor": now["adafactor"] | {"lr": {"log": [1e-4, 1.0]}}}
    assert as_begun(now, begun) == begun
    other = {"adafactor": begun["adafactor"] | {"d": {"value": 1.0}}}
    assert as_begun(now, other) == now


def test_a_whole_number_cannot_be_searched_over_a_range(module):
    module(
        "own_count",
        HEAD + "class Lion(SGD):\n def __init__(self, params, lr=0.1, every: int = 2): super().__init__(params, lr)",
    )
    message = refused(["own_count.Lion"], {"own_count.Lion": {"every": {"log": [1, 10]}}})
    assert "every must be a whole number, got 2.3" in message


# --- what runs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sgd", "torch.optim.sgd.SGD (fused)"),
        ("nesterov", "torch.optim.sgd.SGD (fused)"),
        ("adagrad", "torch.optim.adagrad.Adagrad (fused)"),
        ("adam", "torch.optim.adam.Adam (fused)"),
        ("adamw", "torch.optim.adamw.AdamW (fused)"),
        ("adadelta", "torch.optim.adadelta.Adadelta (for-loop)"),
        ("radam", "torch.optim.radam.RAdam (for-loop)"),
        ("adabound", "bench.optimizers.adabound.AdaBound (chunks)"),
        ("adaboundw", "bench.optimizers.adabound.AdaBoundW (chunks)"),
        ("adabound_reference", "adabound.adabound.AdaBound"),
    ],
)
def test_the_fastest_on_a_cpu_is_taken_and_named(name, found):
    assert implementation_of(step(name)) == found


def test_what_is_named_is_what_the_optimizer_was_built_with():
    weights = [torch.nn.Parameter(torch.ones(2))]
    named = {
        "for-loop": torch.optim.Adam(weights),
        "foreach": torch.optim.Adam(weights, foreach=True),
        "fused": torch.optim.Adam(weights, fused=True),
    }
    assert {implementation_of(each) for each in named.values()} == {f"torch.optim.adam.Adam ({name})" for name in named}
    assert implementation_of(torch.optim.LBFGS(weights)) == "torch.optim.lbfgs.LBFGS"


def test_the_fused_kernel_of_a_class_is_what_is_timed_as_fused(monkeypatch: pytest.MonkeyPatch):
    called = []
    monkeypatch.setattr(torch, "_fused_adamw_", lambda *_, **__: called.append("fused"))
    layer = torch.nn.Linear(2, 2)
    optimizer = optimizer_entry("adamw").factory({})(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert "fused" in called
    assert implementation_of(optimizer).endswith("(fused)")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("name", "kind"), [("adam", "fused"), ("sgd", "fused"), ("adadelta", "foreach")])
def test_the_fastest_on_a_gpu_is_taken_and_named(name, kind):
    weights = [torch.nn.Parameter(torch.ones(3, device="cuda"))]
    assert implementation_of(optimizer_entry(name).factory({})(weights)).endswith(f"({kind})")
