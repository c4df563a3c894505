"""All that docs/guide/clusters.md shows, as far as one machine allows: its servers, its Slurm script, its SSH loop.

PostgreSQL is real, and so is the MLflow server that the page starts; `ssh` and `scontrol` are stand-ins, and machines
are folders. The short sibling, without servers, is `tests/end_to_end/test_clusters_page.py`.
"""

import re
import signal
import socket
import time
import urllib.request
from contextlib import suppress

import psycopg
import pytest
import yaml

from bench.ledger.reader import RUNNING, read_studies
from tests.support.clusters_page import KUBERNETES, SLURM, Machine, block, replaced
from tests.support.place import VALLEY_FILE
from tests.support.postgres import USER, postgres_server
from tests.support.running_study import ended

SHARD = "kills"
COVERS = (
    "docs/guide/clusters.md", "bench/engines/*.py", "bench/ledger/*.py", "bench/records/*.py", "bench/study/join.py",
    "bench/study/ledger_runner.py", "bench/cli/actions/worker.py", "bench/cli/worker.py",
)  # fmt: skip
WAIT_S = 600
STUDY = VALLEY_FILE.replace("tunings = 2", "tunings = 6") + "sleep_ms = 100\n"
PLANNED = 24
"""Six tunings of each of two optimizers, with a tune and a confirm trial each, of two seconds."""


def wait_for(state, *processes):
    """Wait until ``state()`` is true; the processes must live until then, or have ended well."""
    deadline = time.monotonic() + WAIT_S
    while not state():
        assert all(process.poll() in (None, 0) for process in processes)
        assert time.monotonic() < deadline
        time.sleep(0.2)


def answers(port):
    """Whether MLflow's server answers."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
        return answer.status == 200
    return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def databases():
    """PostgreSQL with the databases that the page makes; yields `host:port`."""
    names = re.findall(r"createdb --owner posebench (\w+)", block("database"))
    assert names == ["plans", "results"]
    with postgres_server(names) as address:
        yield address


def test_the_page_from_its_servers_to_its_report(databases, tmp_path, figures):
    port = free_port()
    ledger = f"postgresql+psycopg://{USER}@{databases}/plans"
    stores = replaced(
        block("stores.sh"),
        {"posebench:PASSWORD@SERVER": f"{USER}@{databases}", "http://SERVER:5000": f"http://127.0.0.1:{port}"},
    )
    login, *nodes = (Machine(tmp_path / name, stores) for name in ("login", "gpu1", "gpu2", "gpu3"))
    (login.work / "tiny.toml").write_text(STUDY)
    server = replaced(
        block("mlflow"),
        {
            "0.0.0.0 --port 5000": f"127.0.0.1 --port {port}",
            "SERVER:5000,localhost:5000": f"127.0.0.1:{port}",
            "posebench:PASSWORD@localhost": f"{USER}@{databases}",
            "/srv/mlflow": tmp_path / "artifacts",
        },
    )
    here = {"/data/coco": "people"}
    slurm = {"STUDY": "mine", "DATA": "people", "CHECKPOINTS": str(tmp_path / "checkpoints"), "SLURM_JOB_ID": "17_3"}

    def running():
        return [entry for entry in read_studies(ledger)["mine"].entries if entry.state == RUNNING and entry.pid]

    with ended(login.start(server)) as mlflow:
        wait_for(lambda: answers(port), mlflow)
        begin = replaced(block("begin"), here | {"--preset full": "--preset smoke --study tiny.toml", "cuda": "cpu"})
        with ended(login.start(begin)) as driver:
            wait_for(lambda: "mine" in read_studies(ledger), mlflow, driver)
            with ended(nodes[0].start(SLURM, **slurm)) as job:
                wait_for(running, mlflow, driver, job)
                job.send_signal(signal.SIGTERM)
                assert job.wait(WAIT_S) == 130, nodes[0].said()
            assert nodes[0].called.read_text() == "requeue 17_3\n"
            assert running() == []
            began = time.monotonic()
            with ended(login.start(replaced(block("ssh"), here) + "wait\n")) as loop:
                assert driver.wait(WAIT_S) == 0, login.said()
                figures["seconds with workers on 3 machines"] = round(time.monotonic() - began, 1)
                for node in nodes:
                    wait_for(lambda: "have ended" in (node.work / "worker.txt").read_text())  # noqa: B023
                assert loop.wait(WAIT_S) == 0
        for node in nodes:
            assert "Traceback" not in (node.work / "worker.txt").read_text()
        with ended(nodes[1].start(SLURM, **slurm)) as late:
            assert late.wait(WAIT_S) == 0, nodes[1].said()
        job = yaml.safe_load(KUBERNETES)["spec"]["template"]["spec"]["containers"][0]
        command = replaced(" ".join(job["command"]), here | {"/checkpoints": slurm["CHECKPOINTS"]})
        with ended(nodes[2].start(f"source stores.sh; exec {command}")) as pod:
            assert pod.wait(WAIT_S) == 0, nodes[2].said()
    with psycopg.connect(f"postgresql://{USER}@{databases}/results") as connection:
        recorded = connection.execute(
            "SELECT trial.value FROM tags AS trial JOIN tags AS done USING (run_uuid) JOIN runs USING (run_uuid) "
            "WHERE trial.key = 'posebench.trial' AND done.key = 'posebench.recorded' "
            "AND runs.status IN ('FINISHED', 'FAILED')"
        ).fetchall()
    assert len(recorded) == len(set(recorded)) == PLANNED
    assert (login.work / "reports" / "mine" / "report.md").exists()
    figures["trials"] = PLANNED
