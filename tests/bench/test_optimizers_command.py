"""`posebench optimizers`: what can be named, whether it passes, and what to type next."""

import json
import shlex
import sys
from pathlib import Path

import pytest
import torch

from bench.cli.actions import optimizers as actions
from bench.cli.actions.optimizer_text import LABEL, _filled, _labelled, command_lines, group_lines
from bench.optimizers import listing, optimizer_entry
from bench.optimizers.check import Check, check_optimizer
from bench.optimizers.description import Description, default_text, space_text, value_text
from bench.optimizers.installed import installed_optimizers
from bench.optimizers.space import Categorical, Fixed, Log, from_document
from bench.optimizers.spaces import parse_space
from posemodel.errors import SettingsError
from tests.support.optimizer_kinds import KINDS

KEYS = {
    "name",
    "group",
    "class",
    "source",
    "schedule",
    "passes",
    "reason",
    "driving",
    "gradients_per_step",
    "resumes",
    "state_bytes_per_weight",
    "hyperparameters",
    "required",
    "filled_in",
    "space",
}
FEW = """
from torch.optim import SGD
class Fine(SGD): pass
class Broken(SGD):
    def step(self, closure=None): raise KeyError("momentum_buffer")
class Wide(SGD):
    def __init__(self, params, width: float, lr=0.1): super().__init__(params, lr=lr)
class Odd(SGD):
    state = property(lambda self: 1 / 0, lambda self, value: None)
"""


@pytest.fixture
def modules(hermetic):
    """A module of each kind, one with few classes, and one that cannot be imported, in the working folder."""
    files = {"own_kinds": KINDS, "own_few": FEW, "own_broken": "import nothing_such", "own_none": "x = 1"}
    for name, text in files.items():
        (hermetic / f"{name}.py").write_text(text)
        sys.modules.pop(name, None)
    yield
    for name in files:
        sys.modules.pop(name, None)


_CHECKS: dict[tuple[str, str], Check] = {}


@pytest.fixture(autouse=True)
def checked_once(monkeypatch):
    """Classes of this project, of PyTorch and of the modules that stay as they are: once for all tests of this file."""

    def check(name, hyperparameters=None):
        if "own_none" in name or "own_package" in name:
            return check_optimizer(name, hyperparameters)
        key = name, repr(hyperparameters)
        if key not in _CHECKS:
            _CHECKS[key] = check_optimizer(name, hyperparameters)
        return _CHECKS[key]

    monkeypatch.setattr("bench.optimizers.description.check_optimizer", check)


@pytest.fixture
def bare(monkeypatch):
    """As if no package of optimizers were installed."""
    monkeypatch.setattr("bench.optimizers.installed.PACKAGES", ())
    monkeypatch.setattr(listing, "EXTRA_PACKAGES", ("nothing_such_a", "nothing_such_b"))


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_the_whole_list_has_a_line_for_each(posebench, narrow, bare):
    code, out, err = posebench("optimizers")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "posebench: all 9 pass"
    assert lines[10] == "torch.optim: 9 of 11 pass"
    assert len(lines) == 22
    assert "  adamw       passes" in lines
    assert "  lbfgs       passes: closure, 20 gradients" in lines
    assert "  muon        no: trains only matrices" in lines
    assert "checking 20 optimizers ..." in err
    assert "Not installed: nothing_such_a, nothing_such_b. To add them: pip install -e '.[optimizers]'" in err


def test_a_filter_is_part_of_a_name_or_of_a_group_in_any_case(posebench, narrow, bare):
    _, out, _ = posebench("optimizers", "ADAB")
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [
        "adabound",
        "adaboundw",
        "adabound_reference",
    ]
    assert posebench("optimizers", "list", "torch.optim")[1].splitlines()[0] == "torch.optim: 9 of 11 pass"


def test_few_are_shown_in_full(posebench, narrow, bare):
    code, out, _ = posebench("optimizers", "neste")
    assert code == 0
    assert out.splitlines() == [
        "nesterov",
        "  passes           step(), 1 gradient a step, resumes to the bit, 4 bytes of",
        "                   state a weight",
        "  hyperparameters  lr=0.001, momentum=0.9, weight_decay=0.0",
        "  default space    effective_lr=log(0.001,30), one_minus_momentum=log(0.005,0.3)",
        "  source           Nesterov, 1983; Sutskever et al., ICML 2013",
        "  class            torch.optim.sgd.SGD with nesterov",
        "  schedule         that of the study",
    ]


def test_the_classes_of_a_module_of_the_working_folder_are_listed(posebench, narrow, bare, modules):
    code, out, _ = posebench("optimizers", "own_kinds")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines()[1:])
    assert code == 0
    assert lines["own_kinds.Closing"] == "passes: closure"
    assert lines["own_kinds.Sharp"] == "passes: closure, 2 gradients"
    assert lines["own_kinds.Curved"] == "passes: create_graph, 2 gradients"
    assert lines["own_kinds.Averaged"] == "passes: train() and eval()"
    assert lines["own_kinds.OnlyMatrices"] == "no: trains only matrices"
    assert lines["own_kinds.Planned"] == "passes"
    assert "own_kinds.SGD" not in lines


def test_packages_that_are_missing_or_broken_hide_no_other(modules, hermetic, monkeypatch):
    monkeypatch.syspath_prepend(str(hermetic))
    monkeypatch.setattr("bench.optimizers.installed.PACKAGES", ("nothing_such", "own_broken", "own_none", "own_few"))
    broken = []
    found = installed_optimizers(broken.append)
    assert [*found] == ["posebench", "torch.optim", "own_few"]
    assert found["own_few"] == ["own_few.Broken", "own_few.Fine", "own_few.Odd", "own_few.Wide"]
    assert broken == ["own_broken: importing it fails with ModuleNotFoundError: No module named 'nothing_such'."]


def test_json_has_everything_under_flat_keys(posebench, bare, modules):
    code, out, _ = posebench("optimizers", "own_few", "--json")
    document = json.loads(out)
    assert code == 0
    assert {*document} == {"filter", "optimizers", "not_installed"}
    found = {each["name"]: each for each in document["optimizers"]}
    assert [*found] == ["own_few.Broken", "own_few.Fine", "own_few.Odd", "own_few.Wide"]
    assert all({*each} == KEYS for each in found.values())
    fine = found["own_few.Fine"]
    assert fine["passes"]
    assert fine["resumes"]
    assert (fine["driving"], fine["gradients_per_step"]) == ("step()", 1.0)
    assert fine["space"] == {"lr": {"log": [1e-5, 0.1]}}
    assert fine["hyperparameters"]["lr"] == 1e-3
    assert found["own_few.Broken"]["reason"].endswith("fails with KeyError: 'momentum_buffer'.")
    assert found["own_few.Odd"]["reason"] == "checking it fails with ZeroDivisionError: division by zero."
    assert found["own_few.Wide"]["required"] == ["width"]
    assert found["own_few.Wide"]["hyperparameters"]["width"] is None
    assert found["own_few.Wide"]["reason"] == "width must be given."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("own_few2", "no name contains 'own_few2', and there is no module of that name"),
        ("own_few2", "did you mean own_few?"),
        ("nothing_such.Lion", "no name contains 'nothing_such.Lion'"),
        ("own_broken", "own_broken: importing it fails with ModuleNotFoundError: No module named 'nothing_such'."),
        ("own_none", "own_none: the module has no class that is an optimizer."),
        ("sgd+adam+adamw", "it joins more than two optimizers"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(posebench, bare, modules, text, message):
    code, out, err = posebench("optimizers", text)
    assert (code, out) == (2, "")
    assert message in err


def test_the_standard_library_is_not_imported(bare):
    with pytest.raises(SettingsError, match="no name contains 'antigravity'"):
        listing.listed_optimizers("antigravity")
    assert "antigravity" not in sys.modules


def test_an_installed_package_that_cannot_be_imported_is_left_out_with_its_reason(monkeypatch, modules, posebench):
    monkeypatch.setattr("bench.optimizers.installed.PACKAGES", ("own_broken", "own_few"))
    monkeypatch.syspath_prepend(".")
    _, out, err = posebench("optimizers", "own_few.f")
    assert out.startswith("own_few.Fine\n")
    assert "own_broken: importing it fails with ModuleNotFoundError" in err


def test_a_name_made_of_others_is_a_list_of_one(posebench, bare, modules):
    _, out, _ = posebench("optimizers", "own_kinds:OnlyMatrices+adam", "--json")
    (each,) = json.loads(out)["optimizers"]
    assert (each["name"], each["group"], each["passes"]) == ("own_kinds.OnlyMatrices+adam", "composed", True)
    assert "one_minus_rest_beta1" in each["space"]


def test_the_check_says_what_to_type_next(posebench, narrow, bare, modules):
    code, out, _ = posebench("optimizers", "check", "adamw", "own_kinds:Sharp(adamw)")
    assert code == 0
    ending = [
        "  Python           from bench.optimizers import optimizer_entry",
        '                   optimizer_entry("own_kinds.Sharp(adamw)").factory({"lr":',
        '                   0.001, "weight_decay": 0})',
        "                   posemodel.train takes this factory; in a loop of your own,",
        "                   make_driven and Driver of posemodel.training.driving make the",
        "                   optimizer and take its steps.",
        "  train            posebench train --optimizer 'own_kinds.Sharp(adamw)' \\",
        "                   --data DIR --steps 1000",
        "  study            posebench study optimizers \\",
        "                   --optimizers 'adam,own_kinds.Sharp(adamw)'",
    ]
    assert out.splitlines()[-10:] == ending
    assert "  study            posebench study optimizers --optimizers adam,adamw" in out.splitlines()


def test_required_hyperparameters_are_given_and_stay_in_the_commands(posebench, bare, modules):
    code, out, _ = posebench("optimizers", "check", "own_few.Wide", "-O", "width=3", "--json")
    document = json.loads(out)
    (each,) = document["optimizers"]
    assert code == 0
    assert document["passes"]
    assert {*each} == KEYS | {"line", "train_command", "study_command"}
    assert each["line"] == "own_few.Wide(model.parameters(), lr=0.1, width=3)"
    assert each["train_command"] == "posebench train --optimizer own_few.Wide -O width=3 --data DIR --steps 1000"
    assert each["study_command"].endswith("--space 'own_few.Wide:lr=log(0.001,10),width=3'")


def test_one_that_fails_makes_the_exit_code_1(posebench, narrow, bare, modules):
    code, out, _ = posebench("optimizers", "check", "sgd", "own_few.Wide", "own_few.None", "lionn")
    assert code == 1
    assert "  fails            width must be given." in out
    assert "  hyperparameters  width=(required), lr=0.1" in out
    assert "the module own_few has no class 'None'" in out
    assert "no optimizer is called 'lionn'" in out
    document = json.loads(posebench("optimizers", "check", "own_few.Wide", "--json")[1])
    assert not document["passes"]
    assert document["optimizers"][0]["train_command"] is None


def test_the_corners_of_a_space_are_checked(posebench, bare, modules):
    good = ["--space", "sgd:lr=log(1e-3,1),momentum=0.5"]
    code, out, _ = posebench("optimizers", "check", "sgd", *good, "--json")
    (each,) = json.loads(out)["optimizers"]
    assert code == 0
    assert each["study_command"].endswith("--space 'sgd:lr=log(0.001,1),momentum=0.5'")
    assert each["line"] == "torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.5)"
    code, out, _ = posebench("optimizers", "check", "sgd", "--space", "sgd:lr=log(1e-3,1),momentum=values(0.5,-1)")
    assert code == 1
    assert "it cannot be searched over its space: --space sgd: " in out
    assert "Invalid momentum value: -1" in " ".join(out.split())


def test_a_wrapper_over_another_optimizer_named_in_its_space(posebench, bare, modules):
    space = "own_kinds.Sharp:base_optimizer=adamw"
    code, out, _ = posebench("optimizers", "check", "own_kinds.Sharp", "--space", space, "--json")
    (each,) = json.loads(out)["optimizers"]
    assert code == 0
    assert each["space"] == {"lr": {"log": [1e-5, 0.1]}, "base_optimizer": {"value": "adamw"}}
    assert '"base_optimizer": "adamw"' in each["line"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "sgd", "-O", "momentum"], "--option momentum: must be NAME=VALUE."),
        (["check", "sgd", "-O", "lr=1", "-O", "lr=2"], "lr is given twice"),
        (["check", "sgd", "--space", "adam:lr=1"], "adam is not among the optimizers to check: sgd."),
        (["check", "sgd", "--space", "sgd:lr=1", "--space", "sgd:lr=2"], "sgd has a space already"),
    ],
)
def test_options_of_nothing_are_refused(posebench, bare, arguments, message):
    code, out, err = posebench("optimizers", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_class_s_name_alone_is_answered_with_its_paths(monkeypatch, bare, modules):
    monkeypatch.syspath_prepend(".")
    monkeypatch.setattr("bench.optimizers.installed.PACKAGES", ("own_few",))
    with pytest.raises(
        SettingsError, match=r"'fine' is the name of a class of installed packages; .*: own_few\.Fine\."
    ):
        optimizer_entry("fine")
    Path("own_none.py").write_text("from torch.optim import SGD\nclass Fine(SGD): pass\n")
    monkeypatch.setattr("bench.optimizers.installed.PACKAGES", ("own_few", "own_none"))
    with pytest.raises(SettingsError, match=r"classes of .* give the path: own_few\.Fine or own_none\.Fine\."):
        optimizer_entry("Fine")


def test_no_line_is_longer_than_80_columns(posebench, narrow, bare, modules):
    for arguments in (
        ["own_kinds"],
        ["own_few"],
        ["muon"],
        ["check", "muon+adamw", "own_kinds.Sharp", "own_few.Odd", "-O", "rho=0.1", "-O", "base_optimizer=adamw"],
        ["list", "--help"],
        ["check", "--help"],
        ["--help"],
    ):
        lines = posebench("optimizers", *arguments)[1].splitlines()
        assert [line for line in lines if len(line) > 80] == [], arguments


def test_what_classes_print_is_not_shown(posebench, bare, hermetic, modules):
    (hermetic / "own_none.py").write_text(
        "from torch.optim import SGD\nclass Loud(SGD):\n def __init__(self, params, lr=0.1):\n"
        "  print('HELLO')\n  super().__init__(params, lr=lr)\n"
    )
    _, out, err = posebench("optimizers", "own_none")
    assert out.startswith("own_none.Loud\n")
    assert "HELLO" not in out + err


def test_threads_are_as_before(posebench, bare):
    torch.set_num_threads(2)
    posebench("optimizers", "sgd")
    assert torch.get_num_threads() == 2


def test_without_a_terminal_and_columns_lines_are_not_wrapped(posebench, monkeypatch, bare):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "__stdout__", None)
    assert actions._width() == actions.UNWRAPPED
    lines = posebench("optimizers", "check", "torch.optim.RAdam")[1].splitlines()
    assert max(map(len, lines)) > 100, "its hyperparameters are one line"


@pytest.mark.parametrize(
    ("space", "text"),
    [
        ({"lr": Log(1e-6, 0.1)}, "lr=log(1e-6,0.1)"),
        ({"betas": Categorical(((0.9, 0.99), (0.95, 0.98)))}, "betas=values((0.9,0.99),(0.95,0.98))"),
        ({"a": Fixed(True), "b": Fixed("word"), "c": Fixed(1e10)}, "a=true,b=word,c=10000000000"),
        ({"a": Fixed(1e20), "b": Fixed(-2.5e-12)}, "a=1e20,b=-2.5e-12"),
    ],
)
def test_the_text_of_a_space_is_what_the_command_line_reads(space, text):
    assert space_text(space) == text
    name, document = parse_space(f"x:{text}")
    assert (name, from_document(document, "x")) == ("x", space)


def test_defaults_as_people_write_them():
    values = [torch.tensor(0.5), None, (0.9, 0.99), torch.optim.SGD, max, lambda x: x, torch.float32]
    texts = ["0.5", "None", "(0.9, 0.99)", "SGD", "max()", "a function", "torch.float32"]
    assert list(map(default_text, values)) == texts
    assert value_text((0.9, 1e-5)) == "(0.9,1e-5)"


def test_a_command_is_one_for_a_shell_whatever_its_lines():
    words = [
        "posebench",
        "study",
        "--space",
        "a.B:lr=log(1e-5,0.1),betas=values((0.9,0.99),(0.95,0.98)),x=3",
        "--wd",
        "1",
    ]
    lines = [*command_lines("study", words, 50)]
    assert max(map(len, lines)) <= 60
    text = "\n".join(lines).replace("\\\n", "").split(maxsplit=1)[1]
    *before, space, flag, wd = shlex.split(text)
    assert [*before, flag, wd] == [*words[:3], "--wd", "1"]
    assert parse_space(space) == parse_space(words[3])


def test_a_reason_in_a_line_is_its_beginning():
    def short(reason):
        return Description("", Check("x", False, reason, "", None, None, None, None), None).short_reason

    assert short("optimizer x: cannot train a network: it trains only matrices; and (more).") == "trains only matrices"
    assert short("optimizer x: width must be given.") == "width must be given"


def test_what_passes_resumes_to_the_bit(posebench, bare, modules):
    """Also where an optimizer is given views of the weights, which a saved state must not replace."""
    documents = json.loads(posebench("optimizers", "own_kinds", "--json")[1])["optimizers"]
    found = {each["name"].rpartition(".")[2]: each["resumes"] for each in documents if each["passes"]}
    assert {"Flattening", "Sharp", "Curved", "Averaged", "Flagged"} <= found.keys()
    assert [name for name, resumes in found.items() if not resumes] == []
    for arguments in (["check", "muon+adamw"], ["lbfgs"]):
        code, out, _ = posebench("optimizers", *arguments, "--json")
        assert code == 0
        assert [each["resumes"] for each in json.loads(out)["optimizers"]] == [True]


def test_the_line_has_the_weight_decay_of_the_commands_beside_it(posebench, bare, modules):
    def line(*options):
        _, out, _ = posebench("optimizers", "check", "adamw", *options, "--json")
        return json.loads(out)["optimizers"][0]["line"]

    assert line() == "torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0)", "not the class's 0.01"
    assert line("-O", "weight_decay=0.5") == "torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0.5)"


def test_a_class_path_is_not_broken_in_its_middle():
    path = "my_package.optimizers_of_a_very_long_name.experimental.AnOptimizerOfALongName"
    assert any(path in text for text in _labelled("class", f"from {path}", 60))


def test_a_line_of_a_group_is_a_name_and_what_is_to_know_as_wide_as_the_terminal():
    def described(name, reason="", driving="step()", gradients=1.0):
        return Description("own", Check(name, not reason, reason, driving, gradients, None, None, None), None)

    both = [described("a", driving="step(closure), gradients", gradients=2.5), described("longer", "its step is odd")]
    assert [*group_lines("own", both, 30)] == [
        "own: 1 of 2 pass",
        "  a       passes: closure,...",
        "  longer  no: its step is odd",
    ]
    assert [*group_lines("own", both, 40)] == [
        "own: 1 of 2 pass",
        "  a       passes: closure, 2.5 gradients",
        "  longer  no: its step is odd",
    ]
    assert [*group_lines("own", both, 5)] == [*group_lines("own", both, 30)], "but 20 columns of a remark"
    assert [*group_lines("own", [described("b")], 80)] == ["own: 1 of 1 pass", "  b  passes"]
    assert next(group_lines("own", [described("b"), described("c")], 80)) == "own: all 2 pass"


def test_pieces_fill_a_line_to_its_last_column():
    head, rest = f"  {'names':{LABEL}}", " " * (LABEL + 2)
    pieces = ["lr, ", "eps, ", "beta"]
    assert [*_filled("names", pieces, LABEL + 2 + len("lr, eps, beta"))] == [f"{head}lr, eps, beta"]
    assert [*_filled("names", pieces, LABEL + 2 + len("lr, eps, bet"))] == [f"{head}lr, eps,", f"{rest}beta"]
    assert [*_filled("names", pieces, LABEL + 2 + len("lr, eps,"))] == [f"{head}lr, eps,", f"{rest}beta"]
    assert [*_filled("names", pieces, 1)] == [f"{head}lr,", f"{rest}eps,", f"{rest}beta"]
    assert [*_filled("names", [], 80)] == ["  names"]


def test_an_import_stays_in_one_line(modules, bare, posebench, narrow):
    long = "own_package_of_optimizers_with_a_very_long_name_indeed"
    Path(f"{long}.py").write_text(KINDS)
    _, out, _ = posebench("optimizers", "check", f"{long}.OfNetwork")
    assert f"  Python           from {long} import OfNetwork" in out.splitlines()
