"""A study of 10,000 trials: its report takes a minute of processor time and a GiB at most; parts are measured alone.

The short sibling is `tests/bench/test_growing_records.py`.
"""

import json
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from bench.kinds.optimizers.kind import KIND
from bench.records.growing import GrowingRecords
from bench.records.writer import Tracker
from bench.trials.columns import rows_of
from tests.bench.conftest import make_spec, valley_spec  # noqa: F401 (fixtures)
from tests.support.many_records import fill, fill_ledger, simulated_study
from tests.support.place import Place
from tests.support.postgres import USER, postgres_server
from tests.support.restarted_servers import mlflow_server

SHARD = "real"
COVERS = (
    "bench/records/reader.py", "bench/records/histories.py", "bench/records/growing.py",
    "bench/study/status.py", "bench/ledger/reader.py", "bench/cli/actions/study_status.py",
    "bench/kinds/optimizers/results.py", "bench/kinds/optimizers/plan.py", "bench/kinds/optimizers/analysis/*.py",
    "bench/kinds/optimizers/report/*.py", "bench/report/findings_write.py", "tests/support/many_records.py",
)  # fmt: skip
NAME = "many"
OPTIMIZERS = (
    "sgd", "nesterov", "adagrad", "adadelta", "adam", "adabound",
    "torch.optim.AdamW", "torch.optim.NAdam", "torch.optim.RAdam", "torch.optim.Adamax",
)  # fmt: skip
TUNINGS, TRIALS, SEEDS = 10, 98, 2
ALL = len(OPTIMIZERS) * TUNINGS * (TRIALS + SEEDS)
REPORT_S, STATUS_S = 60, 2.0
FLAT_BYTES = 2**30
"""What the report's process may need beside what one of a hundred trials does."""


@pytest.fixture(params=["a file", "a server with its own PostgreSQL"])
def stores(request, tmp_path):
    """Address of MLflow, and of the database behind it."""
    if request.param == "a file":
        yield f"sqlite:///{tmp_path}/mlflow.db", f"sqlite:///{tmp_path}/mlflow.db"
        return
    with postgres_server(("records",)) as address:
        url = f"postgresql+psycopg://{USER}@{address}/records"
        with mlflow_server(url, tmp_path) as server:
            yield server.address, url


def many(valley_spec, place):  # noqa: F811
    return valley_spec(
        name=NAME,
        optimizers=[*OPTIMIZERS],
        controls=False,
        data=place.folder / "people",
        tunings=TUNINGS,
        trials=TRIALS,
        seeds=SEEDS,
        tune_steps=20,
        steps=20,
    )


def seconds(call):
    began = time.perf_counter()
    result = call()
    return result, time.perf_counter() - began


def test_a_study_of_ten_thousand_trials_is_read_and_reported(stores, valley_spec, tmp_path, figures):  # noqa: F811
    uri, url = stores
    place = Place(tmp_path / "here", used=False)
    spec = many(valley_spec, place)
    tracker = Tracker(uri, NAME)
    parent = tracker.open_study(spec, {})
    ended = simulated_study(spec)
    assert len(ended) == ALL
    fill(tracker, url, parent, ended)

    records, read_s = seconds(tracker.records)
    assert len(records) == ALL
    curves, curves_s = seconds(lambda: tracker.curves(records, ("ap", "val_loss")))
    assert len(curves) == 2 * ALL
    record, one_s = seconds(lambda: tracker.recorded(ended[ALL // 2][0].trial_id))
    assert record == ended[ALL // 2][0]
    plan, plan_s = seconds(lambda: KIND.next_trials(spec, records))
    assert len(plan) == ALL
    growing = GrowingRecords(tracker)
    growing.replace(rows_of(records))
    _, new_s = seconds(growing.read_new)
    report_s, cpu_s, peak_bytes, _ = measured(place, "report", NAME, "--json", MLFLOW_TRACKING_URI=uri)
    kind = "file" if uri.startswith("sqlite") else "server"
    figures |= {
        f"seconds to read {ALL} records ({kind})": round(read_s, 1),
        f"seconds to read their curves ({kind})": round(curves_s, 1),
        f"seconds to find one record ({kind})": round(one_s, 3),
        f"seconds to read what is new ({kind})": round(new_s, 3),
        "seconds to plan": round(plan_s, 2),
        f"seconds of `posebench report` ({kind})": round(report_s, 1),
        f"processor seconds of it ({kind})": round(cpu_s, 1),
        f"MiB at its peak ({kind})": round(peak_bytes / 2**20),
    }
    assert cpu_s <= REPORT_S, "other programs may take the processor, and this machine's time, meanwhile"
    assert peak_bytes <= FLAT_BYTES


@pytest.mark.parametrize("kind", ["a file", "a server"])
def test_the_status_of_ten_thousand_trials_comes_from_the_ledger_alone(kind, make_spec, tmp_path, figures):  # noqa: F811
    """There is no MLflow store at all. A workload of one's own would import what it needs, PyTorch say."""
    place = Place(tmp_path / "here", used=False)
    spec = many(make_spec, place)
    ended = simulated_study(spec)
    ended = ended[: ALL * 9 // 10]
    with ExitStack() as closing:
        url = f"sqlite:///{place.folder}/optuna.db"
        if kind == "a server":
            url = f"postgresql+psycopg://{USER}@{closing.enter_context(postgres_server(('ledger',)))}/ledger"
        fill_ledger(url, spec, ended)
        runs = [measured(place, "study", "status", NAME, "--json", POSEBENCH_STORAGE=url) for _ in range(3)]
    for *_, said in runs:
        trials = json.loads(said)["trials"]
        assert (trials["complete"], trials["planned"]) == (len(ended), ALL)
    wall_s, cpu_s, *_ = min(runs)
    figures |= {
        f"seconds of `posebench study status` ({kind})": round(wall_s, 2),
        f"processor seconds of it ({kind})": round(cpu_s, 2),
    }
    assert cpu_s <= STATUS_S, "other programs may take the processor meanwhile"


def measured(place, *arguments, **environment):
    """Seconds, processor seconds and peak memory of the installed command, its start included, and what it prints."""
    began = time.perf_counter()
    with (place.folder / "output.txt").open("w") as said:
        process = subprocess.run(
            [sys.executable, "-c", MEASURED, *place.command(*arguments)],
            cwd=place.folder, env=place.environment | environment, stdout=subprocess.PIPE, stderr=said,
            text=True, check=False,
        )  # fmt: skip
    assert process.returncode == 0, (place.folder / "output.txt").read_text()[-3000:]
    *printed, used = process.stdout.splitlines()
    processor_s, peak_kib = used.split()
    return time.perf_counter() - began, float(processor_s), int(peak_kib) * 1024, "\n".join(printed)


MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""
