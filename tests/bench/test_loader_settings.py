"""Settings of a loader study: their layers, what may be written, what is refused, what the machine decides."""

import json
import sys

import pytest

from bench.cli.config import show
from bench.kinds.loaders.data import own_loader_settings, own_loader_workload, workload_of
from bench.kinds.loaders.machine import default_workers
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.limits import Limits
from bench.measure.loader.pose_workload import PoseWorkload
from bench.measure.loader.workload import DatasetWorkload
from posemodel.errors import DataError, SettingsError
from tests.support.asked import prepared, resolved

GB = 1_000_000_000
OWN = "tests.support.own_datasets"


def settings(environ=None, study_file=None, **command_line):
    return resolved("loaders", command_line, study_file, "smoke", environ or {})


def spec(**changes):
    values = {"name": "n", "preset": "smoke", "data": "d", "data_digest": "feed", "device": "cpu"}
    values |= {"num_workers": (0, 1), "batch_size": (4,), "pin_memory": (False,)}
    return LoaderSpec.model_validate(values | changes)


def test_the_command_line_comes_before_the_environment_before_the_file_before_the_preset(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text('kind = "loaders"\nnum_workers = [0, 3]\nbatch_size = [2]\nslice_s = 1.5\n')
    found = settings({"POSEBENCH_BATCH_SIZE": "5,6"}, file, slice_s=0.5)
    assert found["num_workers"].value == (0, 3)
    assert found["num_workers"].origin == f"file {file}:2"
    assert (found["batch_size"].value, found["batch_size"].origin) == ((5, 6), "environment POSEBENCH_BATCH_SIZE")
    assert (found["slice_s"].value, found["slice_s"].origin) == (0.5, "command line")
    assert found["minutes"].origin == "preset smoke"
    assert found["stall_s"].origin == "default"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("num_workers", "0, 1,2", (0, 1, 2)),
        ("num_workers", "4", (4,)),
        ("batch_size", "8,16", (8, 16)),
        ("pin_memory", "both", (True, False)),
        ("pin_memory", "true", (True,)),
        ("pin_memory", "no", (False,)),
        ("persistent_workers", "true,false", (True, False)),
        ("start_method", "fork,spawn", ("fork", "spawn")),
        ("cv2_threads", (), ()),
    ],
)
def test_lists_may_be_written_as_on_a_command_line(name, text, value):
    assert settings(**{name: text})[name].value == value


@pytest.mark.parametrize(
    ("command_line", "said"),
    [
        ({"num_workers": "0,x"}, "num_workers"),
        ({"start_method": "frok"}, "start_method"),
        ({"pin_memory": "perhaps"}, "pin_memory"),
        ({"num_workers": "both"}, "num_workers"),
        ({"batch_size": "yes,8"}, "batch_size"),
        ({"hashed_batches": 1000}, "hashed_batches"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_origin(command_line, said):
    with pytest.raises(SettingsError, match=rf"{said}.*from: command line"):
        settings(**command_line)


def test_unknown_names_are_refused_with_the_nearest(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text("num_wokers = [1]")
    with pytest.raises(SettingsError, match="Did you mean num_workers"):
        settings(study_file=file)
    with pytest.raises(SettingsError, match="POSEBENCH_BATCH_SIZE"):
        settings({"POSEBENCH_BATCH_SIZES": "1"})
    with pytest.raises(SettingsError, match="Did you mean smoke"):
        resolved("loaders", preset="smoek")
    file.write_text('kind = "optimizers"')
    with pytest.raises(
        SettingsError,
        match=r"own\.toml:1: kind: is 'optimizers': `posebench study loaders` runs studies",
    ):
        settings(study_file=file)


def test_settings_are_shown_with_their_origin(capsys):
    show(preset="smoke", kind="loaders", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["num_workers"] == {"value": [0, 1, 2], "origin": "preset smoke"}
    assert found["stall_s"]["origin"] == "default"
    with pytest.raises(SettingsError, match="Did you mean loaders"):
        show(kind="loader")


def test_a_variable_of_another_kind_of_study_is_none_of_ours():
    assert settings({"POSEBENCH_TRIALS": "3"})["blocks"].value == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_workers": ()}, "at least one value"),
        ({"batch_size": (4, 4)}, "each value once"),
        ({"batch_size": (0,)}, "1 or more"),
        ({"num_workers": (-1,)}, "0 or more"),
        ({"min_blocks": 6, "blocks": 5}, "min_blocks"),
        ({"step": "own:step"}, "dataset of your own"),
        ({"dataset": "own:Data", "step": "own:step", "step_ms": 3.0}, "one of the two"),
        ({"name": "../up"}, "letters, digits"),
        ({"collate": "own:batch"}, "dataset of your own"),
        ({"dataset": "own:Data", "largest_batch": True}, "largest_batch: needs a step"),
        ({"step_ms": 3.0, "largest_batch": True}, "largest_batch: needs a step"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        spec(**changes)


@pytest.mark.parametrize(
    ("cores", "free", "workers"),
    [
        (1, 8 * GB, (0, 1)),
        (2, 8 * GB, (0, 1, 2)),
        (6, 32 * GB, (0, 1, 2, 4, 6)),
        (1.5, 8 * GB, (0, 1)),
        (64, 256 * GB, (0, 1, 2, 4, 8, 16)),
        (16, 3 * GB, (0, 1, 2, 3)),
        (8, GB // 2, (0, 1)),
    ],
)
def test_the_default_tries_what_cores_and_memory_of_this_process_carry(cores, free, workers):
    assert default_workers(Limits(cores, free, free // 4, None, None)) == workers, "whatever is free at the moment"


def test_advice_tries_few_numbers_of_workers():
    def few(cores):
        return default_workers(Limits(cores, 64 * GB, 64 * GB, None, None), few=True)

    assert few(16) == (0, 4, 8, 16)
    assert few(6) == (0, 1, 3, 6)
    assert few(2) == (0, 1, 2)


def test_a_workload_is_the_network_s_or_one_s_own():
    assert isinstance(workload_of(spec()), PoseWorkload)
    own = workload_of(spec(dataset="tests.support.troubled_data:Random", step_ms=2.0))
    assert isinstance(own, DatasetWorkload)
    own.make_step()("a batch")
    assert spec(dataset="tests.support.troubled_data:Random").has_step is False


def prepare(**command_line):
    return prepared("loaders", command_line, None, "smoke", None).spec


def test_what_cannot_be_loaded_is_refused_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="importable from the working directory"):
        prepare(dataset="no_such_module:Data")
    with pytest.raises(SettingsError, match="no map-style data set"):
        prepare(dataset="tests.support.troubled_data:LENGTH")
    with pytest.raises(SettingsError, match="needs no arguments"):
        prepare(dataset="torch.utils.data:TensorDataset.__init__")
    with pytest.raises(SettingsError, match="give one of the two"):
        prepare(dataset="tests.support.troubled_data:Random", data=tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        prepare(data=tmp_path / "nowhere")


def test_the_name_of_advice_says_what_was_asked_of_which_data(monkeypatch):
    def named(**command_line):
        return prepared("loaders", command_line, None, "advice", None).spec.name

    first = named(dataset="tests.support.troubled_data:Random")
    assert first.startswith("loader-advice-Random-")
    assert first == named(dataset="tests.support.troubled_data:Random")
    assert first != named(dataset="tests.support.troubled_data:Random", batch_size="4")
    monkeypatch.setattr("tests.support.troubled_data.Random.__len__", lambda _: 18)
    assert first != named(dataset="tests.support.troubled_data:Random")


def test_the_search_for_the_largest_batch_is_left_out_where_only_the_preset_wants_it():
    def found(**command_line):
        return prepared("loaders", command_line, None, "full", None).spec.largest_batch

    assert not found(dataset="tests.support.troubled_data:Random")
    assert found()
    with pytest.raises(SettingsError, match="largest_batch: needs a step"):
        found(dataset="tests.support.troubled_data:Random", largest_batch=True)


def test_a_network_beside_a_data_set_of_one_s_own_is_refused():
    with pytest.raises(SettingsError, match="size: has no effect beside dataset"):
        prepare(dataset="tests.support.troubled_data:Random", size=64)


def test_another_source_is_another_study(hermetic, monkeypatch):
    """The sources differ in length too: Python tells a changed module from its compiled form by time and size."""
    monkeypatch.syspath_prepend(hermetic)
    digests = []
    for change in ("", " + 0"):
        (hermetic / "my_changing.py").write_text(
            f"class Data:\n    def __len__(self): return 5\n    def __getitem__(self, index): return index{change}\n"
        )
        sys.modules.pop("my_changing", None)
        digests.append(prepare(dataset="my_changing:Data").data_digest)
    sys.modules.pop("my_changing", None)
    assert digests[0] != digests[1]


def test_another_loader_or_another_source_of_it_is_another_study(hermetic, monkeypatch):
    monkeypatch.syspath_prepend(hermetic)
    plain = prepare(dataset="tests.support.troubled_data:Random").data_digest
    digests = {plain}
    for change in ("", " + []"):
        (hermetic / "my_loading.py").write_text(f"def load(batch_size): return [batch_size]{change}\n")
        sys.modules.pop("my_loading", None)
        digests.add(prepare(dataset="tests.support.troubled_data:Random", loader="my_loading.load").data_digest)
    sys.modules.pop("my_loading", None)
    assert len(digests) == 3
    assert plain == prepare(dataset="tests.support.troubled_data:Random").data_digest


def test_a_loader_that_needs_other_arguments_is_refused_before_anything_is_measured():
    with pytest.raises(SettingsError) as caught:
        prepare(dataset="tests.support.troubled_data:Random", loader=f"{OWN}:needs_more")
    assert str(caught.value).startswith(
        f"--loader {OWN}:needs_more: missing a required argument: 'root'. It is needs_m"
    )
    assert prepare(dataset="tests.support.troubled_data:Random", loader=f"{OWN}:cannot_be_made").loader


def test_a_loader_of_one_s_own_is_measured_once_for_each_batch_size_with_most_workers():
    asked = spec(loader=f"{OWN}:batches_of", batch_size=(4, 8), num_workers=(0, 3), pin_memory=(True, False))
    found = own_loader_settings(asked, pinning=True)
    assert [(each.batch_size, each.num_workers, each.pin_memory) for each in found] == [(4, 3, True), (8, 3, True)]
    assert not any(each.pin_memory for each in own_loader_settings(asked, pinning=False))
    assert own_loader_settings(spec(), pinning=True) == []
    assert isinstance(own_loader_workload(asked).other, PoseWorkload)


def test_the_length_of_a_stream_need_not_be_known():
    assert prepare(dataset=f"{OWN}:Endless").data_digest
    assert prepare(dataset=f"{OWN}:Endless").data_digest != prepare(dataset=f"{OWN}:Plain").data_digest


def test_samples_of_a_stream_are_not_compared_and_need_not_be_said_to_be_random():
    with pytest.raises(SettingsError, match="random_samples: has no effect on an IterableDataset, whose samples are n"):
        prepare(dataset=f"{OWN}:Plain", random_samples=True)


def test_names_say_kind_preset_and_data():
    assert prepare(dataset="tests.support.troubled_data:Random").name == "loaders-smoke-Random"
    assert prepare(dataset="tests.support.troubled_data:Random", name="mine").name == "mine"
