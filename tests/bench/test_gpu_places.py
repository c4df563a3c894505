"""Which worker uses which GPU: the assignment, the settings, the words of what is refused, and real processes."""

import os
import signal
from dataclasses import replace

import pandas as pd
import psutil
import pytest
import torch

from bench.cli.actions.study_continue import places_of
from bench.engines import interruption, processes
from bench.engines.events import TrialEnded, WorkerDied, ignore_event
from bench.engines.places import assign
from bench.engines.processes import Crew, crew
from bench.engines.worker_settings import WorkerSettings
from bench.kinds.optimizers.kind import KIND
from bench.kinds.optimizers.trial import TRIALS
from bench.ledger.format import OWNER
from bench.ledger.store import Ledger
from bench.measure.gpus import VISIBLE_VARIABLE, Gpu, visible_gpus
from bench.measure.machine import fingerprint, versions
from bench.records.writer import Tracker
from bench.report.gpu_models import several_models, trials_by_gpu
from bench.report.text import literal
from bench.settings.layers import COMMAND_LINE, Setting
from bench.settings.shared_settings import PLACE_SETTINGS
from bench.study.begun_study import BegunStudy
from bench.study.machine_settings import gpus_of_workers, workers_setting
from bench.study.sharing import gpu_memory_text, loader_warnings, most_on_one, refuse_too_little_gpu_memory
from bench.workloads.protocol import Costs
from posemodel.errors import SettingsError
from tests.support.deaths import DyingOnce, tell_environment
from tests.support.forking_process import forked_starts
from tests.support.plans import first_trials
from tests.support.records import record
from tests.support.restarted_servers import until

GB = 10**9
A, B, C, D = (Gpu(f"GPU-{letter}000-1", "NVIDIA H200", 150 * GB) for letter in "abcd")
OTHER = Gpu("GPU-e000-1", "NVIDIA A2", 15 * GB)
FOUR = [A, B, C, D]


@pytest.mark.parametrize(
    ("asked", "gpus"),
    [
        ({}, [A, B, C, D]),
        ({"workers": 1}, [A]),
        ({"workers": 3}, [A, B, C]),
        ({"workers": 0}, []),
        ({"chosen": [0, 2]}, [A, C]),
        ({"chosen": ["2", "0"]}, [C, A]),
        ({"chosen": ["GPU-d000-1", "1"]}, [D, B]),
        ({"chosen": ["GPU-b"]}, [B]),
        ({"chosen": [1, 3], "workers": 1}, [B]),
        ({"chosen": [1], "trials_per_gpu": 2}, [B, B]),
        ({"trials_per_gpu": 2}, [A, B, C, D, A, B, C, D]),
        ({"trials_per_gpu": 2, "workers": 3}, [A, B, C]),
        ({"trials_per_gpu": 2, "workers": 5}, [A, B, C, D, A]),
        ({"chosen": [3, 0], "trials_per_gpu": 3, "workers": 5}, [D, A, D, A, D]),
    ],
)
def test_workers_share_a_gpu_only_once_each_has_one(asked, gpus):
    assert assign(FOUR, **asked) == tuple(gpus)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"workers": 5}, "5 trials at once, but there are 4 places for them (4 GPUs, 1 trial on each). Give 4 workers"),
        ({"workers": 9, "trials_per_gpu": 2}, "trials_per_gpu = 3 (`--trials-per-gpu`)"),
        ({"workers": 2, "chosen": [0]}, "there is 1 place for them (1 GPU, 1 trial on each)"),
        ({"chosen": [4]}, "gpus: there is no GPU 4 here. Visible here: 0: NVIDIA H200 (GPU-a000-1), 1: NVIDIA"),
        ({"chosen": ["GPU-x"]}, "gpus: there is no GPU GPU-x here. Visible here: 0: "),
        ({"chosen": ["GPU-"]}, "gpus: GPU- stands for 4 GPUs. Visible here: 0: "),
        ({"chosen": ["", "1"]}, "gpus: there is no GPU  here."),
        ({"chosen": ["1", "GPU-b000-1"]}, "gpus: GPU-b000-1 is named twice."),
        ({"chosen": []}, "gpus: names no GPU. Visible here: 0: "),
    ],
)
def test_what_cannot_be_placed_is_refused_in_words(asked, words):
    with pytest.raises(SettingsError) as told:
        assign(FOUR, **asked)
    assert words in str(told.value)


def settings(device="cuda", **given):
    """The settings of where trials run, as the command line gives them."""
    defaults = {name: Setting(each.default, "default") for name, each in PLACE_SETTINGS.items()}
    typed = {name: Setting(value, COMMAND_LINE) for name, value in given.items()}
    return {**defaults, "device": Setting(device, "default (auto: found here)"), **typed}


@pytest.mark.parametrize(
    ("visible", "given", "gpus", "workers", "origin"),
    [
        ([A], {}, [], 1, "default (auto: one trial on a cuda device)"),
        ([A], {"gpus": (0,)}, [], 1, "default (auto: one trial on a cuda device)"),
        ([A], {"trials_per_gpu": 2}, [A, A], 2, "default (auto: 1 GPU, 2 trials on each)"),
        ([A], {"trials_per_gpu": 2, "workers": 1}, [], 1, COMMAND_LINE),
        (FOUR, {}, FOUR, 4, "default (auto: 4 GPUs, 1 trial on each)"),
        (FOUR, {"workers": "cores"}, FOUR, 4, "command line (cores: 4 GPUs, 1 trial on each)"),
        (FOUR, {"workers": 1}, [A], 1, COMMAND_LINE),
        (FOUR, {"gpus": (1,)}, [B], 1, "default (auto: 1 GPU, 1 trial on each)"),
        (FOUR, {"gpus": ("0", "2")}, [A, C], 2, "default (auto: 2 GPUs, 1 trial on each)"),
        ([], {}, [], 1, "default (auto: one trial on a cuda device)"),
    ],
)
def test_one_worker_for_each_visible_gpu_unless_told_otherwise(visible, given, gpus, workers, origin):
    """A single worker that has no other GPU to see needs no process of its own."""
    placed = gpus_of_workers(settings(**given), visible)
    assert placed == tuple(gpus)
    assert workers_setting(settings(**given), placed) == Setting(workers, origin)


def test_where_gpus_cannot_be_told_apart_none_can_be_chosen():
    with pytest.raises(SettingsError, match=r"gpus: there is no GPU to choose: none can be told apart here"):
        gpus_of_workers(settings(gpus=(0,)), [])


def test_what_a_file_says_wrong_is_refused_at_its_line(posebench, hermetic, tiny):
    (hermetic / "mine.toml").write_text("gpus = [0, 2]\n")
    code, out, err = posebench("study", "optimizers", "--study", "mine.toml", "--data", tiny, "--device", "cpu")
    assert (code, out) == (2, "")
    assert "mine.toml:1: gpus: there is no GPU to choose: the device is cpu (device from: command line)." in err
    assert not list(hermetic.glob("*.db"))


@pytest.mark.parametrize(
    ("setting", "text", "words"),
    [
        ("gpus", "0", "gpus: there is no GPU to choose: the device is cpu (device from: study "),
        ("trials_per_gpu", "0", "trials_per_gpu: must be 1 or more (got"),
        ("trials_per_gpu", "2", "trials_per_gpu: there is no GPU to share: the device is cpu (device from: study "),
    ],
)
def test_wrong_places_are_refused_before_a_begun_study_goes_on(begun, setting, text, words):
    with pytest.raises(SettingsError) as told:
        places_of(begun(), {setting: text})
    assert words in str(told.value)


def test_a_begun_study_goes_on_as_before_unless_told_otherwise(begun):
    def places(*asked, **more):
        found = places_of(begun(), *asked, **more)
        return tuple(found[name].value for name in ("workers", "gpus", "checkpoints"))

    assert places({}) == (3, (), None)
    assert places({}, Setting("auto", "default")) == (1, (), None)
    assert places({"workers": "2", "gpus": None, "checkpoints": "shared/states"}) == (2, (), "shared/states")
    assert places({"trials_per_gpu": "1"}) == (1, (), None), "one for each place, as a new study has"
    assert places({}, shown=True) == (3, (), None)


def test_the_environment_says_where_trials_run_unless_it_is_typed(begun):
    def places(asked, environ, **more):
        found = places_of(begun(), asked, environ=environ, **more)
        return tuple(found[name].value for name in ("workers", "checkpoints"))

    environ = {"POSEBENCH_WORKERS": "2", "POSEBENCH_CHECKPOINTS": "shared/states", "POSEBENCH_GPUS": ""}
    assert places({}, environ) == (2, "shared/states")
    assert places({"workers": "4", "checkpoints": None}, environ) == (4, "shared/states")
    assert places({}, environ, workers=Setting("auto", "default")) == (2, "shared/states")
    assert places({}, environ, shown=True) == (3, None)
    with pytest.raises(SettingsError, match=r"workers: .*from: environment POSEBENCH_WORKERS"):
        places({}, {"POSEBENCH_WORKERS": "many"})


def test_a_study_that_only_others_run_goes_on_without_workers_where_its_device_is_missing(begun):
    study = replace(begun(device="mps" if not torch.backends.mps.is_available() else "cuda"), workers=0)
    assert places_of(study, {})["workers"].value == 0
    assert places_of(study, {}, shown=True)["workers"].value == 1


def test_a_finished_study_is_shown_where_its_device_is_missing(begun):
    study = begun(device="mps" if not torch.backends.mps.is_available() else "cuda")
    assert places_of(study, {}, shown=True)["workers"].value == 3
    with pytest.raises(SettingsError, match="device: this machine has no"):
        places_of(study, {})


@pytest.fixture
def begun(valley_spec):
    """A begun study whose last session ran three trials at once."""
    return lambda **changes: BegunStudy(KIND, valley_spec(**changes), {}, False, frozenset(), 3)


@pytest.mark.parametrize(
    ("num_workers", "workers", "cores", "warned"),
    [(0, 8, 2, False), (2, 1, 2, False), (4, 1, 2, False), (1, 2, 2, False), (2, 2, 2, True), (4, 8, 16, True)],
)
def test_more_loaders_than_cores_are_warned_of(valley_spec, num_workers, workers, cores, warned):
    found = loader_warnings(valley_spec(num_workers=num_workers), workers, cores)
    assert len(found) == warned
    if warned:
        assert (
            f"{workers} trials at once with num_workers {num_workers} each load with {workers * num_workers} "
            in (found[0])
        )


def costs(gpu_memory_bytes):
    return Costs(1.0, {"adam": 0.1}, {}, 0.0, memory_bytes=GB, gpu_memory_bytes=gpu_memory_bytes)


@pytest.mark.parametrize(
    ("memory", "gpus", "workers", "text"),
    [
        (0, [], 2, ""),
        (30 * GB, [], 1, " and 30.0 GB of GPU memory"),
        (80 * GB, FOUR, 4, " and 20.0 GB of GPU memory on each of 4 GPUs"),
        (
            *(80 * GB, [A, B, A, B], 4),
            " and, for each trial, 20.0 GB of GPU memory of the 75.0 GB that it has with 2 trials on one GPU",
        ),
        (
            *(20 * GB, [A, OTHER, A, OTHER], 4),
            " and, for each trial, 5.0 GB of GPU memory of the 7.5 GB that it has with 2 trials on one GPU",
        ),
    ],
)
def test_the_estimate_tells_the_gpu_memory_of_each_trial(memory, gpus, workers, text):
    assert gpu_memory_text(costs(memory), gpus, workers) == text


def test_of_unequally_shared_gpus_the_fullest_counts():
    found = [most_on_one(gpus) for gpus in ([], [A], [A, B], [A, B, A], [A, B, B, B, A])]
    assert found == [0, 1, 1, 2, 3]


def test_trials_that_do_not_fit_on_their_gpu_are_refused():
    refuse_too_little_gpu_memory(costs(149 * GB), [A, A], 2)
    refuse_too_little_gpu_memory(costs(20 * GB), [OTHER], 1)  # alone it may fit all the same: that is its own result
    for each, fit in ((60, 2), (80, 1), (200, 1)):
        with pytest.raises(SettingsError) as told:
            refuse_too_little_gpu_memory(costs(3 * each * GB), [A, A, A], 3)
        assert str(told.value) == (
            f"trials_per_gpu: 3 trials take 3 x {each}.0 GB of GPU memory, and NVIDIA H200 (GPU-a000-1) has 150.0 GB. "
            f"Give --trials-per-gpu {fit}, or a smaller batch_size."
        )


def test_a_machine_is_described_by_the_gpus_of_its_workers():
    assert fingerprint((), [A, B, A])["gpu"] == "NVIDIA H200"
    assert fingerprint((), [A, OTHER])["gpu"] == "NVIDIA H200, NVIDIA A2"


def test_a_machine_that_runs_no_trial_is_described_by_its_versions_alone():
    here = fingerprint(["pytest"])
    assert here.items() > versions(["pytest"]).items()
    assert not {"cpu", "cores", "gpu", "cuda"} & versions().keys()


def test_gpus_of_several_models_cannot_be_compared():
    records = pd.DataFrame([record("adam", seed) for seed in range(4)])
    assert several_models(records) == ""
    assert trials_by_gpu(records) == trials_by_gpu(records.assign(gpu=None)) == []
    one = records.assign(gpu=[A.text, B.text, A.text, None])
    assert several_models(one) == ""
    assert trials_by_gpu(one) == [f"Trials by GPU: {A.text} 2, {B.text} 1."]
    two = records.assign(gpu=[A.text, OTHER.text, A.text, None])
    assert several_models(two) == (
        "Trials ran on GPUs of 2 models (NVIDIA A2 and NVIDIA H200): their times and images/s cannot be compared."
    )
    moved = records.assign(gpu=[A.text, f"{OTHER.text} + {A.text}", A.text, f"{A.text} + {B.text}"])
    assert several_models(moved) == several_models(two), "although all ended on one model"
    both = [literal(f"{OTHER.text} + {A.text}"), literal(f"{A.text} + {B.text}")]
    assert trials_by_gpu(moved) == [f"Trials by GPU: {both[0]} 1, {A.text} 2, {both[1]} 1."]
    assert several_models(records.assign(gpu=f"{A.text} + {B.text}")) == ""


class Trials:
    """A study's first trials, in a ledger."""

    def __init__(self, spec, storage_url, tracking_uri, run_trial):
        self.plan = first_trials(spec)
        self.ledger = Ledger(storage_url, spec.name, spec.identity())
        self.tracker = Tracker(tracking_uri, spec.name)
        parent = self.tracker.open_study(spec, {})
        kind = replace(TRIALS, run_trial=run_trial)
        self.settings = WorkerSettings(storage_url, tracking_uri, spec.name, spec.identity(), parent, spec.data, kind)
        self.ledger.enqueue(self.plan)


@pytest.fixture
def trials(valley_spec, storage_url, tracking_uri):
    return lambda run_trial, **changes: Trials(valley_spec(tunings=1, **changes), storage_url, tracking_uri, run_trial)


def test_each_worker_process_is_started_with_its_gpu(monkeypatch):
    """Even before it loads anything: CUDA reads the variable once."""
    monkeypatch.setenv(VISIBLE_VARIABLE, "0,1,2,3")
    with crew(2, ignore_event, gpus=[A, B]) as workforce:
        workforce.start()
        seen = [(each.gpu, _environment(each.process.pid)) for each in workforce._crew]
        workforce.kill()
    assert seen == [(A, A.uuid), (B, B.uuid)]
    assert os.environ[VISIBLE_VARIABLE] == "0,1,2,3"


@pytest.mark.long
@pytest.mark.parametrize("gpus", [[C], [A, B]], ids=["one of several", "two"])
def test_trials_see_the_gpu_of_their_worker_alone(trials, monkeypatch, gpus):
    monkeypatch.setenv(VISIBLE_VARIABLE, "0,1,2,3")
    study = trials(tell_environment, trials=2)
    with crew(len(gpus), ignore_event, gpus=gpus) as workforce:
        workforce.work_off(study.settings)
        seen = {_environment(each.process.pid) for each in workforce._crew}
    assert seen == {gpu.uuid for gpu in gpus}
    records = study.tracker.records()
    assert len(records) == 4
    assert {*records["implementation"]} <= seen
    assert os.environ[VISIBLE_VARIABLE] == "0,1,2,3"


def _environment(pid):
    process = psutil.Process(pid)
    # a process has no environment for a moment, while it becomes another program
    until(lambda: VISIBLE_VARIABLE in process.environ(), "the program has the variable")
    return process.environ()[VISIBLE_VARIABLE]


@pytest.mark.parametrize(
    ("asked", "inline"),
    [
        ({"workers": 1}, True),
        ({"workers": 2}, False),
        ({"workers": 1, "gpus": [A]}, False),
        ({"workers": 1, "inline": False}, False),
    ],
)
def test_a_single_worker_is_this_process_unless_it_has_a_gpu_of_its_own(asked, inline):
    assert Crew(on_event=ignore_event, **asked).inline is inline


@pytest.fixture
def charges(monkeypatch):
    """What the driver charges: the process, its start, and the owner of the trial at that moment."""
    charged, charge = [], Ledger.charge_death

    def noting(ledger, pid, started):
        running = [trial for trial in ledger.storage.get_all_trials(ledger._study) if OWNER in trial.user_attrs]
        owners = [trial.user_attrs[OWNER] for trial in running if trial.user_attrs[OWNER]]
        charged.append((pid, started, [owner for owner in owners if owner["pid"] == pid]))
        charge(ledger, pid, started)

    monkeypatch.setattr(Ledger, "charge_death", noting)
    return charged


@pytest.mark.long
def test_a_worker_that_dies_by_itself_is_charged_by_its_driver_and_replaced(trials, charges, tmp_path):
    """While the other worker goes on, and looks for trials of the dead."""
    study = trials(DyingOnce(tmp_path / "died"), trials=3)
    events = []
    with forked_starts(processes), crew(2, events.append) as workforce:
        workforce.work_off(study.settings)
    assert study.ledger.counts() == {"complete": len(study.plan)}
    died = [event.pid for event in events if isinstance(event, WorkerDied)]
    assert len(died) == 1
    ((pid, started, owners),) = charges
    assert pid == died[0]
    (owner,) = owners
    assert abs(owner["started"] - started) < 1
    assert sum(isinstance(event, TrialEnded) for event in events) == len(study.plan)


def test_a_driver_that_is_asked_to_stop_charges_nothing(trials, charges, tmp_path):
    """As when a machine ends: its processes die one after the other."""
    study = trials(DyingOnce(tmp_path / "died"), trials=3)

    def on_event(event):
        if isinstance(event, WorkerDied):
            os.kill(os.getpid(), signal.SIGTERM)

    forked, stopped = forked_starts(processes), pytest.raises(KeyboardInterrupt)
    with interruption.handle_signals(), forked, stopped, crew(2, on_event) as workforce:
        workforce.work_off(study.settings)
    assert charges == []
    counts = study.ledger.counts()
    assert counts["running"] == 0
    assert counts["waiting"] >= 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="skipped: no CUDA device")
def test_two_trials_at_once_on_one_gpu_are_placed_and_sampled_there(tiny_spec, storage_url, tracking_uri):
    """Of a study that trains a pose network, with the GPU that this machine has."""
    gpu = visible_gpus()[0]
    study = Trials(tiny_spec(tunings=1, trials=2, device="cuda"), storage_url, tracking_uri, TRIALS.run_trial)
    with crew(2, ignore_event, gpus=[gpu, gpu]) as workforce:
        workforce.work_off(study.settings)
        assert {_environment(each.process.pid) for each in workforce._crew} == {gpu.uuid}
    records = study.tracker.records()
    assert {*records["gpu"]} == {gpu.text}
    assert {*records["concurrent_trials"]} == {2}
    assert not torch.cuda.is_initialized(), "this process has not touched CUDA"
    assert all(0 < each < gpu.memory_bytes for each in records.get("gpu_memory_bytes", [1.0]))
