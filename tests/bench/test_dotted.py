"""What is one's own is named in two spellings everywhere, and is the same thing."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.kinds.loaders.spec import LoaderSpec
from bench.optimizers import optimizer_entry
from bench.optimizers.spaces import parse_space
from bench.settings.layers import USER_OBJECT_SETTINGS, setting_layers
from bench.workloads import workload
from posemodel.dotted_paths import is_dotted_path, split_dotted_path, with_colon, with_dots
from posemodel.errors import SettingsError
from tests.support.examples import few
from tests.support.valley import VALLEY

OWN = """
from torch.optim import SGD

class Mine(SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)

class Outer:
    class Inner(Mine):
        pass
"""
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True).filter(lambda name: is_dotted_path(f"{name}.x"))


@pytest.fixture
def own(hermetic, monkeypatch):
    package = hermetic / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "optimizers.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(hermetic))
    yield "my_package.optimizers"
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[name]


@pytest.mark.parametrize("path", ["my_package.optimizers.Mine", "my_package.optimizers:Mine"])
def test_an_optimizer_has_one_name(own, path):
    entry = optimizer_entry(path)
    assert (entry.name, entry.source) == ("my_package.optimizers.Mine",) * 2


@pytest.mark.parametrize("path", ["my_package.optimizers.Outer.Inner", "my_package.optimizers:Outer.Inner"])
def test_a_class_in_a_class(own, path):
    assert optimizer_entry(path).source == "my_package.optimizers.Outer.Inner"
    assert split_dotted_path(path) == ("my_package.optimizers", "Outer.Inner")


def test_what_is_not_there_is_told_in_either_spelling(own):
    for path in ("my_package.optimizers.Mime", "my_package.optimizers:Mime"):
        with pytest.raises(SettingsError, match=r"my_package\.optimizers has no class 'Mime', did you mean Mine\?"):
            optimizer_entry(path)


@pytest.mark.parametrize("name", [VALLEY, VALLEY.replace(":", ".")])
def test_a_workload_has_one_name(name):
    assert workload(name).name == VALLEY


@pytest.mark.parametrize("name", ["my_package:Mine", "my_package.Mine"])
def test_a_space_of_an_optimizer_of_one_s_own(name):
    assert parse_space(f"{name}:lr=log(1e-3,1),eps=1e-8") == (
        "my_package.Mine",
        {"lr": {"log": [1e-3, 1.0]}, "eps": {"value": 1e-8}},
    )


def test_settings_are_one_spelling_whatever_layer_they_come_from(tmp_path):
    preset, file = tmp_path / "preset.toml", tmp_path / "own.toml"
    preset.write_text("")
    file.write_text(
        'optimizers = ["m:A", "sgd"]\ndataset = "m.n.D"\nloader = "m.n.make_loader"\n'
        'step = "m.n:make"\ncollate = "m.n.join"\n'
        'worker_init = "m.n.begin"\n[spaces."m:A"]\nlr = 0.1\n'
        '[[fixed]]\noptimizer = "m:A"\n'
    )
    names = ("optimizers", *USER_OBJECT_SETTINGS, "spaces", "fixed")
    assert {*USER_OBJECT_SETTINGS} <= {*LoaderSpec.model_fields}
    layers = setting_layers(
        "x",
        names,
        preset="p",
        preset_file=preset,
        study_file=file,
        environ={"POSEBENCH_OPTIMIZERS": "m:B, adam", "POSEBENCH_DATASET": "m:D"},
        command_line={"optimizers": ["m:C"], "spaces": {"m:C": {}}, "dataset": "m.D"},
    )
    of_file, of_environment, of_command_line = (
        {name: value for name, (value, _) in layer.items()} for layer in layers[1:]
    )
    assert of_file == {
        "optimizers": ["m.A", "sgd"],
        "dataset": "m.n:D",
        "loader": "m.n:make_loader",
        "step": "m.n:make",
        "collate": "m.n:join",
        "worker_init": "m.n:begin",
        "spaces": {"m.A": {"lr": 0.1}},
        "fixed": [{"optimizer": "m.A"}],
    }
    assert of_environment == {"optimizers": "m.B,adam", "dataset": "m:D"}
    assert of_command_line == {"optimizers": ["m.C"], "spaces": {"m.C": {}}, "dataset": "m:D"}


@few(10)
@given(st.lists(NAMES, min_size=1, max_size=3), NAMES)
def test_both_spellings_are_one_path(modules, name):
    dotted = ".".join([*modules, name])
    colon = f"{'.'.join(modules)}:{name}"
    assert with_dots(colon) == with_dots(dotted) == dotted
    assert split_dotted_path(colon) == split_dotted_path(dotted) == (".".join(modules), name)
    assert with_colon(dotted) == with_colon(colon) == colon


@pytest.mark.parametrize("text", ["sgd", "", "a:", ":a", "a b:c", "1.5", "a..b", "adam:lr=log(1,2)"])
def test_other_texts_stay(text):
    assert not is_dotted_path(text)
    assert with_dots(text) == with_colon(text) == text
