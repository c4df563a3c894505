"""Settings: the layers and their order, origins, and mistakes named with file, field and nearest name."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import studies
from bench.kinds.optimizers.budget import settle_budget
from bench.kinds.optimizers.spec import StudySpec
from bench.optimizers import OPTIMIZERS
from bench.optimizers.space import as_document
from bench.optimizers.spaces import spaces_of
from bench.settings.layers import DEFAULT, Setting, read_study_file
from bench.settings.presets import kinds, preset_path, presets
from bench.settings.shared_settings import DEFAULT_SYNTHETIC_IMAGES
from bench.study import settings as study_settings
from bench.trials.study_base import DERIVED
from posemodel.errors import SettingsError
from tests.support.asked import built
from tests.support.asked import resolved as resolved_of


def spaces(settings):
    return spaces_of(settings["optimizers"].value, settings["spaces"].value, settings["spaces"].origins)


def resolved(file=None, environ=None, preset="smoke", **command_line):
    return resolved_of("optimizers", command_line, file, preset, environ or {})


@pytest.fixture
def study_file(tmp_path):
    def write(text):
        path = tmp_path / "own.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="module")
def file_of_every_layer(tmp_path_factory):
    """Study files that set `seeds` (which presets set too) or `weight_decay` (which only has a default), or nothing."""
    folder = tmp_path_factory.mktemp("layers")
    paths = {}
    for name, text in {"nothing": "", "seeds": "seeds = 33", "weight_decay": "weight_decay = 33"}.items():
        paths[name] = folder / f"{name}.toml"
        paths[name].write_text(text)
    return paths


@given(
    name=st.sampled_from(["seeds", "weight_decay"]),
    in_file=st.booleans(),
    in_environ=st.booleans(),
    typed=st.booleans(),
)
def test_the_nearest_layer_wins_and_is_named(file_of_every_layer, name, in_file, in_environ, typed):
    file = file_of_every_layer[name if in_file else "nothing"]
    variable = f"POSEBENCH_{name.upper()}"
    found = resolved(file, {variable: "44"} if in_environ else {}, **({name: 55} if typed else {}))[name]
    bottom = (1, "preset smoke") if name == "seeds" else (0.0, "default")
    layers = [(typed, 55, "command line"), (in_environ, 44, f"environment {variable}"), (in_file, 33, f"file {file}:1")]
    value, origin = next(((value, origin) for there, value, origin in layers if there), bottom)
    assert (found.value, found.origin) == (value, origin)
    assert isinstance(found.value, type(bottom[0]))


def test_an_empty_variable_and_an_option_not_given_are_no_settings():
    found = resolved(environ={"POSEBENCH_SEEDS": ""}, seeds=None)
    assert found["seeds"].origin == "preset smoke"


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("POSEBENCH_SIZE", "64", "size", 64),
        ("POSEBENCH_STEPS", "7", "steps", 7),
        ("POSEBENCH_WEIGHT_DECAY", "1e-4", "weight_decay", 1e-4),
        ("POSEBENCH_PIN_MEMORY", "Yes", "pin_memory", True),
        ("POSEBENCH_PIN_MEMORY", "0", "pin_memory", False),
        ("POSEBENCH_AUGMENT", "off", "augment", False),
        ("POSEBENCH_OPTIMIZERS", "adam, sgd", "optimizers", ("adam", "sgd")),
        ("POSEBENCH_SYNTHETIC_IMAGES", "40", "synthetic_images", 40),
        ("POSEBENCH_TRIAL_TIME_LIMIT", "2.5", "trial_time_limit", 2.5),
        ("POSEBENCH_DATA", "some/people", "data", Path("some/people")),
        ("POSEBENCH_DEVICE", "cpu", "device", "cpu"),
    ],
)
def test_text_of_the_environment_becomes_the_setting_s_own_type(variable, text, name, value):
    found = resolved(environ={variable: text})[name].value
    assert found == value
    assert type(found) is type(value) or isinstance(found, Path)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("POSEBENCH_SIZE", "large"),
        ("POSEBENCH_STEPS", "0"),
        ("POSEBENCH_STEPS", "2.5"),
        ("POSEBENCH_PIN_MEMORY", "maybe"),
        ("POSEBENCH_SYNTHETIC_IMAGES", "many"),
        ("POSEBENCH_DEVICE", "gpu"),
        ("POSEBENCH_SPACES", "sgd"),
    ],
)
def test_a_wrong_variable_is_named(variable, text):
    with pytest.raises(SettingsError, match=variable):
        resolved(environ={variable: text})


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('size = "big"', "size"),
        ("size = true", "size"),
        ("size = 16", "size"),
        ("trials = 1.5", "trials"),
        ("trials = 0", "trials"),
        ("optimizers = 3", "optimizers[0]"),
        ("spaces = 3", "spaces"),
        ("spaces.sgd = 3", "spaces.sgd"),
        ("name = 3", "name"),
        ("data = 3", "data"),
        ('device = "gpu"', "device"),
        ('schedule = "cosin"', "schedule"),
        ("synthetic_images = 'x'", "synthetic_images"),
    ],
)
def test_a_value_of_the_wrong_type_names_file_and_field(study_file, line, field):
    file = study_file(line)
    with pytest.raises(SettingsError) as refused:
        resolved(file)
    assert str(refused.value).startswith(f"{file}:1: {field}: must be ")


@pytest.mark.parametrize(
    ("wrong", "near"), [("seed", "seeds"), ("optimiser", "optimizers"), ("batchsize", "batch_size")]
)
def test_an_unknown_setting_names_the_file_the_field_and_the_nearest(study_file, wrong, near):
    file = study_file(f"{wrong} = 3")
    with pytest.raises(SettingsError) as refused:
        resolved(file)
    assert str(refused.value) == f"{file}:1: {wrong}: there is no such setting. Did you mean {near}?"


def test_a_setting_near_to_nothing_gets_no_advice(study_file):
    with pytest.raises(SettingsError, match=r"no such setting\.$"):
        resolved(study_file("xyzzy = 3"))


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (b"trials = 1\nsteps = ", 2, "Invalid value (at the end of the file)."),
        (b"[spaces", 1, "(at the end of the file)."),
        (b"steps = 1\n# again\nsteps = 2", 3, "Cannot overwrite a value (at the end of the file)."),
        (b"steps = 1\nsteps == 2\nseeds = 3", 2, "Invalid value (column 8)."),
        (b"steps = 1\nname = '\xff'", 2, "not UTF-8. Save the file as UTF-8."),
    ],
)
def test_invalid_toml_names_file_line_and_column(tmp_path, content, line, what):
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        resolved(file)
    assert str(refused.value).startswith(f"{file}:{line}: is not valid TOML: ")
    assert str(refused.value).endswith(what)


def test_a_study_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read \(No such file"):
        resolved(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match=r"cannot be read \(Is a directory"):
        resolved(tmp_path)


def test_a_study_file_of_another_kind_is_refused(study_file):
    with pytest.raises(SettingsError) as refused:
        resolved(study_file('steps = 3\nkind = "loader"'))
    assert str(refused.value).endswith(
        f"own.toml:2: kind: is 'loader': there is no such kind. Did you mean loaders? There are: {', '.join(kinds())}."
    )
    with pytest.raises(SettingsError, match=r"toml:1: kind: is 'loaders'.*run this one with `posebench study loaders "):
        resolved(study_file('kind = "loaders"'))


@pytest.mark.parametrize("preset", presets("optimizers"))
def test_every_preset_that_ships_is_a_whole_study(preset):
    settings = resolved(preset=preset)
    spec = built(
        "optimizers",
        settings,
        name="x",
        preset=preset,
        data=Path("x"),
        data_digest="x",
        spaces=spaces(settings),
        device="cpu",
    )
    assert spec.optimizers == ("sgd", "nesterov", "adagrad", "adadelta", "adam", "adabound")
    assert {setting.origin for setting in settings.values()} == {"default", f"preset {preset}"}


def test_the_full_preset_has_four_tunings_of_one_confirm_seed():
    found = resolved(preset="full")
    assert (found["tunings"].value, found["seeds"].value) == (4, 1)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(SettingsError, match=r"no preset 'smal'. Did you mean small\? There are: smoke, small, full"):
        preset_path("optimizers", "smal")


def test_every_field_of_a_study_can_be_set_but_derived_ones():
    derived = {*DERIVED}
    assert set(StudySpec.model_fields) - derived <= set(StudySpec.declarations())
    assert "data_digest" not in StudySpec.declarations()
    assert StudySpec.declarations()["synthetic_images"].default == DEFAULT_SYNTHETIC_IMAGES


def test_a_study_file_changes_the_space_of_one_optimizer_and_leaves_the_others(study_file):
    file = study_file(
        'optimizers = ["sgd", "adam"]\n[spaces.sgd]\nlr = {log = [1e-3, 0.1]}\nmomentum = {values = [0.9]}'
    )
    assert spaces(resolved(file)) == {
        "sgd": {"lr": {"log": [1e-3, 0.1]}, "momentum": {"values": [0.9]}},
        "adam": as_document(OPTIMIZERS["adam"].space),
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sgd.lr = {lag = [0.1, 1]}", "spaces.sgd.lr: must be"),
        ("sgd.lr = {log = [1, 0.1]}", "spaces.sgd.lr: must be"),
        ("sgd.lr = {log = [1, inf]}", "spaces.sgd.lr: must be"),
        ("sgd.momentun = {values = [0.9]}", "Did you mean momentum?"),
        ("sgd.one_minus_momentum = {values = [0.1]}\nsgd.momentum = {values = [0.9]}", "given twice"),
        ("sgd.weight_decay = {log = [1e-5, 1e-2]}", "spaces.sgd.weight_decay: is one value for all"),
        ("adabond.lr = {log = [0.1, 1]}", "adabond"),
    ],
)
def test_a_wrong_space_names_file_and_field(study_file, line, message):
    file = study_file(f'optimizers = ["sgd", "adam"]\n[spaces]\n{line}')
    with pytest.raises(SettingsError) as refused:
        spaces(resolved(file))
    assert message.lower() in str(refused.value).lower()
    assert str(file) in str(refused.value)


def test_a_space_of_an_optimizer_that_is_left_out_does_no_harm(study_file):
    file = study_file("[spaces.adabound]\nlr = {log = [0.1, 1]}")
    assert set(spaces(resolved(file, optimizers=["sgd"]))) == {"sgd"}


def test_an_unknown_optimizer_names_the_nearest():
    with pytest.raises(SettingsError, match=r"no optimizer is called 'adm'.*[Dd]id you mean adam\?"):
        spaces(resolved(optimizers=["adm"]))


def test_a_file_that_leaves_nothing_open_reads_back(study_file):
    file = study_file('kind = "optimizers"\nsteps = 5')
    assert read_study_file(file, "optimizers", StudySpec.declarations()) == {"steps": 5}


def test_config_show_prints_every_setting_with_its_origin(posebench, monkeypatch, study_file):
    file = study_file("steps = 5\ndata = 'own/people'")
    monkeypatch.setenv("POSEBENCH_SEEDS", "3")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    code, out, err = posebench("config", "show", "--study", file, "--preset", "smoke", "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert set(document) == {*StudySpec.declarations(), "kind", "preset", "storage", "tracking_uri"}
    assert document["steps"] == {"value": 5, "origin": f"file {file}:1"}
    assert document["data"] == {"value": "own/people", "origin": f"file {file}:2"}
    assert document["seeds"] == {"value": 3, "origin": "environment POSEBENCH_SEEDS"}
    assert document["trials"] == {"value": 2, "origin": "preset smoke"}
    assert document["weight_decay"] == {"value": 0.0, "origin": "default"}
    assert document["storage"] == {"value": "sqlite:///optuna.db", "origin": "default"}
    assert document["tracking_uri"] == {"value": "sqlite:///other.db", "origin": "environment MLFLOW_TRACKING_URI"}
    code, table, _ = posebench("config", "show", "--study", file, "--preset", "smoke")
    assert code == 0
    assert all(name in table for name in document)


def test_config_show_takes_settings_as_if_typed_and_says_what_auto_means_here(posebench, study_file):
    file = study_file('kind = "loaders"\nblocks = 9\nmin_blocks = 1')
    typed = ("--set", "blocks=7", "--set", "batch_size=4,8", "--set", "device=auto")
    code, out, _ = posebench("config", "show", "--study", file, "--preset", "full", *typed, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["kind"] == {"value": "loaders", "origin": f"file {file}:1"}
    assert document["preset"] == {"value": "full", "origin": "command line"}
    assert document["blocks"] == {"value": 7, "origin": "command line"}
    assert document["batch_size"] == {"value": [4, 8], "origin": "command line"}
    assert document["min_blocks"] == {"value": 1, "origin": f"file {file}:3"}
    assert document["num_workers"]["value"][0] == 0
    assert re.fullmatch(r"default \(auto: [\d.]+ cores here\)", document["num_workers"]["origin"])
    assert document["device"]["value"] in ("cpu", "cuda", "mps")
    assert document["device"]["origin"] == "command line (auto: found here)"


def test_config_show_resolves_the_cores_of_a_preset_and_lists_that_are_typed(posebench):
    code, out, _ = posebench(
        "config", "show", "--preset", "small", "--set", "optimizers=sgd,adam", "--set", "device=cpu", "--json"
    )
    document = json.loads(out)
    assert code == 0
    assert document["kind"] == {"value": "optimizers", "origin": "default"}
    assert document["optimizers"] == {"value": ["sgd", "adam"], "origin": "command line"}
    assert isinstance(document["workers"]["value"], int)
    assert document["workers"]["origin"].startswith("preset small (cores: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "repeats"], "--set repeats: must be NAME=VALUE."),
        (["--set", "seed=1"], "--set seed=1: there is no such setting. Did you mean seeds?"),
        (["--set", "seeds=1", "--set", "seeds=2"], "--set seeds=2: seeds is given twice."),
        (["--set", "seeds=many"], "seeds: must be a whole number (got 'many', from: command line)."),
        (["--set", "spaces=x"], "spaces: can only be set in a study file (got 'x', from: command line)."),
        (["--kind", "loader"], "--kind loader: there is no such kind. Did you mean loaders?"),
    ],
)
def test_what_config_show_does_not_take(posebench, arguments, message):
    code, out, err = posebench("config", "show", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_config_show_refuses_a_file_of_another_or_an_unknown_kind(posebench, study_file):
    file = study_file('\nkind = "optimizer"')
    code, _, err = posebench("config", "show", "--study", file)
    assert code == 2
    assert f"{file}:2: kind: is 'optimizer': there is no such kind. Did you mean optimizers?" in err
    code, _, err = posebench("config", "show", "--study", study_file('kind = "loaders"'), "--kind", "optimizers")
    assert code == 2
    assert f"{file}:1: kind: is 'loaders': " in err


@pytest.mark.parametrize("variable", ["POSEBENCH_KIND", "POSEBENCH_PRESET", "POSEBENCH_DATA_DIGEST"])
def test_what_only_a_study_decides_is_no_variable(variable):
    with pytest.raises(SettingsError, match=f"environment {variable}: there is no such setting"):
        resolved(environ={variable: "x"})


# --- budgets: steps or seconds ----------------------------------------------------------------------------------------


def budget(file=None, environ=None, preset="small", **command_line):
    """(tune_steps, steps, tune_seconds, seconds) as resolved; the small preset has 400 and 1000 steps."""
    found = resolved(file, environ, preset=preset, **command_line)
    values = [found[name].value for name in ("tune_steps", "steps", "tune_seconds", "seconds")]
    return tuple(round(value, 9) if isinstance(value, float) else value for value in values)


def test_seconds_displace_a_preset_s_steps_and_keep_their_ratio(study_file):
    assert budget() == (340, 900, None, None)
    assert budget(seconds=90.0) == (None, None, 34.0, 90.0)
    assert budget(tune_seconds=17.0) == (None, None, 17.0, 45.0)
    assert budget(seconds=60.0, tune_seconds=20.0) == (None, None, 20.0, 60.0)
    assert budget(study_file("seconds = 60"), seconds=4.5) == (None, None, 1.7, 4.5)
    assert budget(environ={"POSEBENCH_SECONDS": "90"}) == (None, None, 34.0, 90.0)


def test_the_ratio_to_a_preset_s_tune_steps_is_at_most_1_and_to_one_s_own_what_it_is(study_file):
    """A file of 50 steps is shorter than the 340 tune steps of the preset."""
    file = study_file("steps = 50")
    assert budget(file, seconds=10.0) == (None, None, 10.0, 10.0)
    assert budget(file, tune_seconds=10.0) == (None, None, 10.0, 10.0)
    assert budget(study_file("steps = 50\ntune_steps = 100"), seconds=10.0) == (None, None, 20.0, 10.0)


def test_steps_displace_a_file_s_seconds(study_file):
    file = study_file("seconds = 60\ntune_seconds = 20")
    assert budget(file) == (None, None, 20.0, 60.0)
    assert budget(file, steps=300) == (300, 300, None, None)
    assert budget(file, steps=300, tune_steps=10) == (10, 300, None, None)


def test_derived_steps_are_at_least_one():
    """From a preset of seconds, of which tune trials get a hundredth."""
    given = {"steps": Setting(20, "command line")}
    settings = {"tune_steps": Setting(None, DEFAULT), **given}
    settings |= {"tune_seconds": Setting(1.0, "preset quick"), "seconds": Setting(100.0, "preset quick")}
    settle_budget(settings, [given])
    assert [settings[name].value for name in ("tune_steps", "steps", "tune_seconds", "seconds")] == [1, 20, None, None]


def test_fewer_steps_than_the_preset_s_tune_steps_shorten_these(study_file):
    found = resolved(preset="small", steps=50)
    assert (found["tune_steps"].value, found["tune_steps"].origin) == (50, "command line (steps)")
    assert budget(steps=50, tune_steps=70) == (70, 50, None, None)
    assert budget(study_file("steps = 50")) == (50, 50, None, None)


@pytest.mark.parametrize(
    ("text", "typed"),
    [("seconds = 3\nsteps = 3", {}), ("", {"seconds": 3.0, "steps": 3}), ("", {"tune_seconds": 3.0, "steps": 3})],
)
def test_both_kinds_at_once_name_the_fields_and_their_origin(study_file, text, typed):
    file = study_file(text)
    with pytest.raises(SettingsError, match=r"steps.*seconds.*give steps or seconds") as refused:
        resolved(file, **typed)
    assert (str(file) if text else "command line") in str(refused.value)


@pytest.mark.parametrize("line", ["seconds = 0", "seconds = -1", "tune_seconds = inf", 'seconds = "long"'])
def test_seconds_out_of_range_are_refused(study_file, line):
    with pytest.raises(SettingsError, match="seconds: "):
        resolved(study_file(line))


# --- series of schedules, pruners, spaces from several places ---------------------------------------------------------


def test_several_schedules_are_kept_in_order(study_file):
    assert resolved(study_file('schedule = ["step", "cosine"]'))["schedule"].value == ("step", "cosine")
    assert resolved(environ={"POSEBENCH_SCHEDULE": "step, constant"})["schedule"].value == ("step", "constant")
    assert resolved(schedule="step")["schedule"].value == "step"


@pytest.mark.parametrize(
    "line", ["schedule = []", 'schedule = ["cosin"]', 'schedule = ["step", "step"]', "schedule = 3"]
)
def test_wrong_schedules_are_refused(study_file, line):
    with pytest.raises(SettingsError, match=r"own\.toml:1: schedule"):
        resolved(study_file(line))


@pytest.mark.parametrize("line", ['pruner = "medain"', "pruner = true", "tune_evaluations = 0", "controls = 3"])
def test_wrong_pruners_and_controls_are_refused(study_file, line):
    with pytest.raises(SettingsError, match=rf"own\.toml:1: {line.split()[0]}: "):
        resolved(study_file(line))


def test_a_typed_space_replaces_the_whole_space_of_its_optimizer_alone(study_file):
    file = study_file("[spaces.sgd]\nlr = {log = [1e-3, 0.1]}\n[spaces.adam]\nlr = {log = [1e-4, 1e-3]}")
    typed = {"adam": {"lr": {"log": [1e-5, 1e-2]}, "beta2": {"value": 0.99}}}
    found = resolved(file, preset="small", spaces=typed)["spaces"]
    assert found.value["adam"] == typed["adam"]
    assert found.value["sgd"] == {"lr": {"log": [1e-3, 0.1]}}
    assert found.origin == f"file {file}:1, command line"
    assert found.origins == {"sgd": f"file {file}:1", "adam": "command line"}


def test_a_file_s_space_replaces_that_of_its_optimizer_in_a_preset_alone(study_file, tmp_path, monkeypatch):
    """No preset that ships has one."""
    preset = tmp_path / "own-preset.toml"
    text = preset_path("optimizers", "small").read_text()
    preset.write_text(f"{text}\n[spaces.adabound]\nlr = 0.5\n[spaces.sgd]\nlr = 0.7\n")
    monkeypatch.setattr(study_settings, "preset_path", lambda _kind, _preset: preset)
    file = study_file("[spaces.sgd]\nlr = {log = [1e-3, 0.1]}")
    found = resolved(file, preset="small")["spaces"]
    assert found.value == {"adabound": {"lr": 0.5}, "sgd": {"lr": {"log": [1e-3, 0.1]}}}
    assert found.origin == f"preset small, file {file}:1"
    assert found.origins == {"adabound": "preset small", "sgd": f"file {file}:1"}


def test_the_higher_layer_s_space_wins_whatever_the_case_of_the_name(study_file):
    file = study_file('optimizers = ["AdaBound", "adam"]\n[spaces.AdaBound]\nlr = 0.1\n[spaces.ADAM]\nlr = 0.2')
    found = resolved(file, preset="small", spaces={"adabound": {"lr": {"value": 0.3}}})
    assert spaces(found) == {"AdaBound": {"lr": {"value": 0.3}}, "adam": {"lr": {"value": 0.2}}}
    assert set(found["spaces"].value) == {"adabound", "ADAM"}


def test_an_error_names_the_one_place_that_its_space_came_from(study_file):
    file = study_file('optimizers = ["sgd", "adam"]\n[spaces.sgd]\nlr = {lag = [1e-3, 0.1]}')
    with pytest.raises(SettingsError) as refused:
        spaces(resolved(file, preset="small", spaces={"adam": {"lr": {"value": 0.1}}}))
    assert str(refused.value).startswith(f"{file}:3: spaces.sgd.lr: must be")
    with pytest.raises(SettingsError, match=r"^--space adam: optimizer adam: there is no hyperparameter 'bta'"):
        spaces(resolved(study_file(""), preset="small", spaces={"adam": {"bta": {"value": 0.1}}}))


def test_an_optimizer_has_one_space_in_a_layer(study_file):
    file = study_file("[spaces.sgd]\nlr = 0.1\n[spaces.SGD]\nlr = 0.2")
    with pytest.raises(SettingsError, match=r"spaces\.SGD: the optimizer has a space already, as sgd\."):
        spaces(resolved(file))


@pytest.mark.parametrize(
    "lines", ["[spaces.my_package.Lion]\nlr = 0.1", "[spaces.my_package]\nLion.lr = {log = [1, 2]}"]
)
def test_a_dotted_path_without_quotes_is_told_to_have_them(study_file, lines):
    with pytest.raises(SettingsError) as refused:
        spaces(resolved(study_file(lines)))
    assert '[spaces."my_package.Lion"]' in str(refused.value)


def test_the_schedules_that_ship_are_a_series_of_the_six_over_any_preset():
    file = Path(studies.__file__).with_name("schedules.toml")
    for preset in presets("optimizers"):
        found = resolved(file, preset=preset)
        assert found["schedule"].value == ("constant", "cosine", "step")
        assert len(found["optimizers"].value) == 6
