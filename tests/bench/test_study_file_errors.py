"""Mistakes in study files of every kind: each names the file, the line and the field, and what would be right."""

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.kinds import KINDS, study_spec
from bench.kinds.loaders.spec import LoaderSpec
from bench.settings.layers import FileOrigin, Setting, build_model, checked_setting
from bench.settings.toml_lines import key_lines
from posemodel.errors import DataError, SettingsError
from tests.support.asked import prepared, resolved

RUN = {kind: (lambda file, kind=kind: prepared(kind, study_file=file)) for kind in KINDS}


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What is said about a study file of this text, its folder left out."""
    monkeypatch.chdir(tmp_path)

    def say(kind, text, error=SettingsError):
        file = tmp_path / "mine.toml"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(error) as refused:
            RUN[kind](file)
        return str(refused.value).replace(f"{tmp_path}/", "")

    return say


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[fixed]]\noptimizer = 'adma'", "mine.toml:2: fixed[0].optimizer: must be one of the study's optimizers"),
        ("[[fixed]]\nlr = 1e-3", "mine.toml:1: fixed[0].optimizer: must be one of"),
        (
            "[[fixed]]\noptimizer = 'adam'\n\n[[fixed]]\noptimizer = 'adam'\nlr = 3.0",
            "mine.toml:6: fixed[1].lr: must be a number from 1e-05 to 0.1, the space of adam, got 3.0;",
        ),
        ("[[fixed]]\noptimizer = 'sgd'\nmomentum = 0.9", "mine.toml:3: fixed[0].momentum: there is no such choice."),
        ("batch_size = [4, 0]", "mine.toml:1: batch_size: must be 1 or more"),
        ("\nnum_workers = [0, 'two']", "mine.toml:2: num_workers[1]: must be a whole number (got 'two')."),
        ("objective = 'ap'", "mine.toml:1: objective: must be 'ap-and-speed' or 'ap-at-time' (got 'ap')."),
        ("# few\nimages = 10", "mine.toml:2: images: 10 are too few for batch_size 4"),
        (
            "trials = 1\n[[fixed]]\noptimizer = 'adam'\n[[fixed]]\noptimizer = 'sgd'",
            "fixed: 2 configurations are more than trials (1)",
        ),
        ("[spaces.adam]\nlr = { log = [1, 0] }", "mine.toml:2: spaces.adam.lr: must be {log = [low, high]}"),
    ],
)
def test_mistakes_of_a_joint_study(told, text, message):
    assert message in told("joint", text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nsize = 128\nsed = 1", "mine.toml:3: sed: there is no such setting."),
        ("\n'a b' = 1", 'mine.toml:2: "a b": there is no such setting.'),
        ("# size\n\nsize = 'big'", "mine.toml:3: size: must be a whole number (got 'big')."),
        ("size = 96.5", "mine.toml:1: size: must be a whole number (got 96.5)."),
        ("size = true", "mine.toml:1: size: must be"),
        ("size = 8", "mine.toml:1: size: must be 32 or more (got 8)."),
        ("\nsize = 100", "mine.toml:2: size: small needs a multiple of 16, got 100. Try"),
        ("device = 'gpu'", "mine.toml:1: device: must be 'auto', 'cuda', 'mps' or 'cpu' (got 'gpu')."),
        ("device = 'cud'", "(got 'cud'). Did you mean cuda?"),
        ("device = 'mps'", "mine.toml:1: device: this machine has no mps device. Use --device auto or --device cpu."),
        ("synthetic_images = 0", "mine.toml:1: synthetic_images: must be 3 or more (got 0)."),
        ("synthetic_images = true", "mine.toml:1: synthetic_images: must be "),
        ("name = 'a b'", "mine.toml:1: name: must be letters"),
        ("name = 3", "mine.toml:1: name: must be text (got 3)."),
        ("size = 64\nsize = 96\n", "mine.toml:2: is not valid TOML: Cannot overwrite a value (column 10)."),
        ("size = 64\n[spaces\n", "mine.toml:2: is not valid TOML: "),
        ("x = 1\n\nkind = 'other'", "mine.toml:3: kind: is 'other': there is no such kind."),
    ],
)
def test_any_kind(told, kind, text, message):
    assert message in told(kind, text)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "seconds" in study_spec(kind).declarations()])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seconds = inf", "mine.toml:1: seconds: must be a finite number (got inf)."),
        ("seconds = 0", "mine.toml:1: seconds: must be more than 0 (got 0)."),
    ],
)
def test_a_kind_with_a_budget_in_seconds(told, kind, text, message):
    assert message in told(kind, text)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "network" in study_spec(kind).declarations()])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network = 'smal'", "mine.toml:1: network: no network is called 'smal'. Did you mean small?"),
        ("network = [\n  'small'\n]", "mine.toml:1: network: must be text (got ['small'])."),
    ],
)
def test_a_kind_that_has_one_network(told, kind, text, message):
    assert message in told(kind, text)


def test_a_network_of_several_is_named_by_its_place(told):
    said = told("networks", "networks = [\n  'small',\n  'smal',\n]")
    assert "mine.toml:3: networks[1]: no network is called 'smal'. Did you mean small?" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizers = [\n  'sgd',\n  'adm',\n]", "mine.toml:3: optimizers[1]: no optimizer is called 'adm'"),
        ("optimizers = [\n  'sgd',\n  3,\n]", "mine.toml:3: optimizers[1]: must be text (got 3)."),
        (
            "weight_decay = 0.1\noptimizers = ['Rprop']",
            "toml:1: weight_decay: optimizer Rprop: has no weight_decay",
        ),
        ("trials = true", "mine.toml:1: trials: must be a number (got True)."),
        ("trials = 200", "mine.toml:1: trials: must be 100 or less (got 200)."),
        (
            "schedule = [\n'step',\n'cosin']",
            "mine.toml:3: schedule[1]: must be 'constant', 'cosine', 'step' or 'fixed' (got",
        ),
        ("schedule = 'cosin'", "(got 'cosin'). Did you mean cosine?"),
        (
            "workers = 'core'",
            "1: workers: must be a whole number or 'auto' or 'cores' (got 'core'). Did you mean cores?",
        ),
        ("workers = -1", "mine.toml:1: workers: must be 0 or more or 'auto' or 'cores' (got -1)."),
        ("steps = 3\n\nseconds = 3", "mine.toml:1: steps, seconds: mix a budget in steps with one in seconds"),
        ("spaces = 3", "mine.toml:1: spaces: must be a table (got 3)."),
        ("\nspaces.adam = 3", "mine.toml:2: spaces.adam: must be a table (got 3)."),
        ("[spaces.adam]\n\nlr = { log = [1, 0.1] }", "mine.toml:3: spaces.adam.lr: must be {log = [low, high]}"),
        ("[spaces]\nadam = {beta2 = 0.9, lr = {lag = [1,\n 2]}}", "mine.toml:2: spaces.adam.lr: must be"),
        ("\nspaces.adam.lr.lag = [1, 2]", "mine.toml:2: spaces.adam.lr: must be"),
        (
            "[spaces.adam]\nlr = 0.1\nbta1 = 0.9",
            "mine.toml:3: spaces.adam.bta1: optimizer adam: there is no",
        ),
        ("[spaces.sgd]\nlr = 1\nweight_decay = 1", "mine.toml:3: spaces.sgd.weight_decay: is one value for all"),
        ("\n[spaces.adom]\nlr = 1", "mine.toml:2: spaces.adom: optimizers: no optimizer is called 'adom'"),
        ("\n[spaces.sgd]\nlr = [1, 2]", "mine.toml:3: spaces.sgd.lr: must be a number"),
        ("spaces.sgd.lr = 1\n\n[spaces.SGD]\nlr = 1", "mine.toml:3: spaces.SGD: the optimizer has a space already"),
        ("kind = 'loaders'", "mine.toml:1: kind: is 'loaders': `posebench study optimizers` runs studies of kind"),
    ],
)
def test_optimizers(told, text, message):
    assert message in told("optimizers", text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_workers = [\n 0,\n 'x' ]", "mine.toml:3: num_workers[1]: must be a whole number (got 'x')."),
        ("num_workers = [0, true]", "mine.toml:1: num_workers[1]: must be a number (got True)."),
        ("num_workers = []", "mine.toml:1: num_workers: must have at least one value (got ())."),
        ("batch_size = [4, 4]", "mine.toml:1: batch_size: must name each value once"),
        (
            "start_method = ['frok']",
            "'fork', 'spawn' or 'forkserver' (got 'frok'). Did you mean fork?",
        ),
        ("\nmin_blocks = 9", "mine.toml:2: min_blocks: min_blocks (9) is more than blocks (2) (min_blocks from: "),
        (
            "\nblocks = 1",
            "mine.toml:2: blocks: min_blocks (2) is more than blocks (1) (min_blocks from: preset",
        ),
        ("\nstep = 'a:b'", "mine.toml:2: step: needs a dataset of your own"),
        ("dataset = 'none:X'\ndata = 'x'", "mine.toml:2: data: data and dataset: give one of the two (data from: "),
        ("\ndataset = 'none:X'", "mine.toml:2: dataset: --dataset none:X: "),
        ("step_ms = 3.0\n\nlargest_batch = true", "mine.toml:3: largest_batch: needs a step"),
    ],
)
def test_loaders(told, text, message):
    assert message in told("loaders", text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_is_not_there(told, kind):
    assert told(kind, "\n\ndata = 'nowhere'", DataError).startswith("mine.toml:3: data: nowhere: no such folder.")


def test_values_that_do_not_fit_together_name_the_line_of_each(told):
    message = told("loaders", "min_blocks = 9\n\nblocks = 8")
    assert re.fullmatch(
        r"mine\.toml:1: min_blocks: min_blocks \(9\) is more than blocks \(8\) "
        r"\(min_blocks from: file mine\.toml:1, blocks from: file mine\.toml:3\)\.",
        message,
    )


def test_what_no_file_gave_names_its_origin():
    given = {"min_blocks": Setting(9, "command line"), "blocks": Setting(8, "preset small")}
    values = {"name": "n", "preset": "small", "data": "d", "data_digest": "feed", "device": "cpu"}
    values |= {"num_workers": (0,), "batch_size": (4,), "pin_memory": (False,), "min_blocks": 9, "blocks": 8}
    with pytest.raises(SettingsError) as refused:
        build_model(LoaderSpec, values, given)
    assert str(refused.value) == (
        "study: min_blocks (9) is more than blocks (8) (min_blocks from: command line, blocks from: preset small)."
    )


def test_a_value_in_an_array_of_tables_is_at_its_own_line(tmp_path):
    text = "trials = 1\n[[fixed]]\nlr = 1\n\n[[fixed]]\nlr = 'x'\n"
    origin = FileOrigin(tmp_path / "mine.toml", key_lines(text), "fixed")
    with pytest.raises(SettingsError) as refused:
        checked_setting(tuple[dict[str, float], ...], "fixed", [{"lr": 1}, {"lr": "x"}], origin)
    assert str(refused.value) == f"{tmp_path / 'mine.toml'}:6: fixed[1].lr: must be a number (got 'x')."


WRONG = {"size": "'x'", "network": "7", "device": "'x'", "synthetic_images": "1", "name": "7"}
FILLING = ("", "# size = 'x'", "seed = 0", "kind = 'KIND'", "name = '''\n[x]'''", "size = 64")


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)), wrong=st.sampled_from(sorted(WRONG)), filling=st.sets(st.sampled_from(FILLING))
)
def test_the_line_is_that_of_the_wrong_value(tmp_path_factory, kind, wrong, filling):
    file = tmp_path_factory.mktemp("lines") / "mine.toml"
    seed = "plan_seed" if kind == "optimizers" else "seed"
    assume(wrong in study_spec(kind).declarations())
    others = [each for each in sorted(filling) if not each.startswith(wrong)]
    before = "".join(f"{each}\n" for each in others).replace("KIND", kind).replace("seed", seed)
    file.write_text(f"{before}{wrong} = {WRONG[wrong]}\n# the end\n", encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        resolved(kind, study_file=file)
    line = before.count("\n") + 1
    assert str(refused.value).startswith(f"{file}:{line}: {wrong}: must be ")
