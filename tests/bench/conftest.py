"""Fixtures of the suite's tests: a hermetic working directory, study specifications, real stores, the command line."""

import gc
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy
import torch
import torch._dynamo  # (the first optimizer imports it; an import that a test interrupts cannot be repeated)
from matplotlib import pyplot
from matplotlib.figure import Figure

from bench.cli import app
from bench.ledger.connection import open_storage
from bench.optimizers.own_schedules import own_schedules
from bench.optimizers.spaces import spaces_of
from bench.report import findings_write
from bench.study import probe
from bench.workloads.of_study import settle_workload
from bench.workloads.protocol import REPORT, SELECT, Costs
from posemodel.data.layout import fingerprint
from posemodel.synthetic import generate
from tests.bench.ledger_process import LedgerProcess
from tests.support.asked import built, resolved
from tests.support.empty_pictures import empty_figure, save_empty
from tests.support.migrations import remember_migrations
from tests.support.stores import empty_store
from tests.support.unsynced import write_without_waiting
from tests.support.valley import VALLEY

TINY_IMAGES = 12
TINY_SIZE = (96, 80)


@pytest.fixture(autouse=True)
def hermetic(monkeypatch, tmp_path):
    """Every test stands in a folder of its own, with no setting in the environment."""
    for name in list(os.environ):
        if name.startswith(("POSEBENCH_", "MLFLOW_TRACKING")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.fixture(autouse=True)
def torch_in_one_thread():
    """On a machine that is shared, threads that wait for each other take longer than the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def figures_are_closed():
    """Those that a test has drawn and not saved would stay in memory."""
    yield
    pyplot.close("all")


@pytest.fixture(autouse=True, scope="session")
def libraries_are_no_garbage():
    """Whatever collects garbage, a trial that failed for one, need not look through PyTorch, MLflow and SciPy."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def databases_do_not_wait_for_the_disk():
    """See `tests.support.unsynced`; nor do files, of which posemodel/test_atomic_write.py tests that they would."""
    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", write_without_waiting)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield
    sqlalchemy.event.remove(sqlalchemy.Engine, "connect", write_without_waiting)


@pytest.fixture(autouse=True, scope="session")
def migrations_are_read_once():
    """See `tests.support.migrations`."""
    remember_migrations()


@pytest.fixture
def databases_wait_for_the_disk():
    """For a test of how carefully they are written."""
    sqlalchemy.event.remove(sqlalchemy.Engine, "connect", write_without_waiting)
    yield
    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", write_without_waiting)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A synthetic data set: 10 images to train on, 1 to select on, 1 to report on."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    generate(folder, images=TINY_IMAGES, seed=0, size=TINY_SIZE)
    return folder


@pytest.fixture(scope="session")
def make_spec():
    """A StudySpec of small numbers; keyword arguments change settings as a command line does."""

    def make(*, data=Path("/no/such/people"), digest="feed", name="study", **changes):
        command_line = {
            "optimizers": ["sgd", "adam"],
            "tunings": 2,
            "trials": 1,
            "seeds": 1,
            "tune_steps": 2,
            "steps": 2,
            "size": 64,
            "evaluations": 1,
            "batch_size": 2,
            "device": "cpu",
        } | changes
        if "workload" in changes:
            del command_line["size"]
        _, _, settings = settle_workload(resolved("optimizers", command_line))
        spaces = spaces_of(
            settings["optimizers"].value,
            settings["spaces"].value,
            settings["spaces"].origins,
            weight_decay=settings["weight_decay"].value,
        )
        return built(
            "optimizers",
            settings,
            name=name,
            preset="smoke",
            data=Path(data),
            data_digest=digest,
            spaces=spaces,
            own_schedules=own_schedules(spaces),
            device=settings["device"].value,
        )

    return make


@pytest.fixture(scope="session")
def tiny_spec(make_spec, tiny):
    """The smallest study that runs: two optimizers, two tunings of one trial and one seed, two steps."""

    def make(**changes):
        return make_spec(data=tiny, digest=fingerprint(tiny), **changes)

    return make


@pytest.fixture(scope="session")
def valley_spec(make_spec):
    """The same study of valleys: milliseconds a trial. ``valley``: settings of the workload."""

    def make(valley=None, **changes):
        return make_spec(digest="valley", workload={"name": VALLEY, **(valley or {})}, **changes)

    return make


@pytest.fixture
def valley_file(hermetic):
    """Write a study file of valleys; returns its name. ``valley``: settings of the workload."""

    def write(valley="", *, above="", name="valley.toml"):
        (hermetic / name).write_text(f'{above}\n[workload]\nname = "{VALLEY}"\n{valley}\n')
        return name

    return write


@pytest.fixture
def new_store(hermetic):
    """Make a real MLflow store in the test's folder; its URI is absolute, since MLflow keeps connections by it."""

    def make(name="mlflow.db"):
        shutil.copy(empty_store(), hermetic / name)
        return f"sqlite:///{hermetic / name}"

    return make


@pytest.fixture
def tracking_uri(new_store):
    """The URI of a new store."""
    return new_store()


@pytest.fixture(scope="session")
def empty_ledgers(tmp_path_factory):
    """A ledger file that is set up and holds no study: its tables take a third of a second to make."""
    file = tmp_path_factory.mktemp("ledgers") / "optuna.db"
    open_storage(f"sqlite:///{file}").engine.dispose()
    return file


@pytest.fixture
def storage_url(hermetic, empty_ledgers):
    """Where a ledger can be made."""
    shutil.copy(empty_ledgers, hermetic / "optuna.db")
    return f"sqlite:///{hermetic / 'optuna.db'}"


@pytest.fixture
def stores(tracking_uri, storage_url, plain_figures, monkeypatch):
    """Both stores by addresses of their own: MLflow keeps connections by them; returns MLflow's."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setenv("POSEBENCH_STORAGE", storage_url)
    return tracking_uri


@pytest.fixture
def ledger_process(storage_url):
    """Start a process on a study's ledger, see `tests.bench.ledger_process`; it ends with the test at the latest."""
    started = []

    def start(act, spec, *arguments):
        started.append(LedgerProcess(act, storage_url, spec.model_dump_json(), *arguments))
        return started[-1]

    yield start
    for process in started:
        process.end()


@pytest.fixture
def made_up_costs(monkeypatch):
    """Dry runs whose estimate is not the point measure nothing: a process that trains takes seconds to begin."""

    def costs(trials, data, **how):
        return Costs(
            start_s=1.0,
            setup_s=0.1,
            step_s=dict.fromkeys(trials, 0.01),
            score_s={SELECT: 0.1, REPORT: 0.1},
            image_s=0.01,
            memory_bytes=10**9,
            gpu_memory_bytes=0,
        )

    monkeypatch.setattr(probe, "measure", costs)


@pytest.fixture
def plain_figures(monkeypatch):
    """Reports whose figures are not the point have empty ones: drawing all of a study takes seconds."""

    monkeypatch.setattr(findings_write, "figure_of", empty_figure)


@pytest.fixture
def unrendered_figures(monkeypatch):
    """Commands whose figure is not the point make it, and its file is an image of one pixel."""
    monkeypatch.setattr(Figure, "savefig", save_empty)


@pytest.fixture
def measured_here(monkeypatch):
    """Estimates that are measured in this process: another one takes seconds to begin."""

    def costs(trials, data, **how):
        found = []
        here = {name: trial.with_data(data) for name, trial in trials.items()}
        probe.costs_of(here, how["until"] - time.time(), found.append)
        return found[-1]

    monkeypatch.setattr(probe, "measure", costs)


@pytest.fixture
def posebench(monkeypatch, capsys):
    """Run the command line in this process: exit code, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["posebench", *map(str, arguments)])
        monkeypatch.setattr(sys, "path", list(sys.path))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            app.main()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run
