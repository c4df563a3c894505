"""The ledger and the records on a real PostgreSQL: claims are atomic, and a study runs with both URLs switched."""

import json
import multiprocessing
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.ledger import Ledger, Told
from bench.record import Status
from bench.spec import TrialSpec
from posemodel.config import TrainSettings
from tests.support.place import PLANNED, Place

TRIALS = 60
PROCESSES = 4


def _program(name: str) -> str | None:
    found = shutil.which(name)
    if found is not None:
        return found
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(installed[-1]) if installed else None


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of our own on a free loopback port; yields `host:port`."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (extra `postgres`)")
    initdb, server = _program("initdb"), _program("postgres")
    if initdb is None or server is None:
        pytest.skip("PostgreSQL is not installed")
    folder = tmp_path_factory.mktemp("postgres")
    as_user: list[str] = []
    if os.geteuid() == 0:
        # initdb refuses root, and the temporary folder belongs to root alone.
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no runuser")
        as_user = ["runuser", "-u", "postgres", "--"]
        for parent in (folder, *folder.parents):
            if parent != Path("/tmp") and parent.is_relative_to("/tmp"):
                parent.chmod(0o755)
        shutil.chown(folder, "postgres")
    cluster = folder / "cluster"
    subprocess.run(
        [*as_user, initdb, "-D", str(cluster), "-U", "posebench", "-A", "trust", "--no-sync"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    control = _program("pg_ctl")
    options = f"-h 127.0.0.1 -p {port} -k {folder}"
    start = [*as_user, control, "-D", str(cluster), "-w", "-l", str(folder / "log"), "-o", options, "start"]
    subprocess.run(start, check=True, capture_output=True, cwd="/")
    try:
        for name in ("ledger", "race", "records"):
            create = [*as_user, _program("createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "posebench", name]
            subprocess.run(create, check=True, capture_output=True, cwd="/")
        yield f"127.0.0.1:{port}"
    finally:
        stop = [*as_user, control, "-D", str(cluster), "-m", "fast", "stop"]
        subprocess.run(stop, check=False, capture_output=True, cwd="/")


def _claim_all(url: str, taken: "multiprocessing.queues.Queue[list[str]]") -> None:
    ledger = Ledger(url, "race", {})
    mine = []
    while (claim := ledger.claim()) is not None:
        mine.append(claim.spec.id)
        ledger.finish(claim.key, Status.COMPLETE, Told((0.0,)))
    taken.put(mine)


def test_claims_are_atomic(postgres: str) -> None:
    url = f"postgresql+psycopg://posebench@{postgres}/race"
    specs = [
        TrialSpec(
            phase="tune",
            index=i,
            optimizer="sgd",
            hyperparameters={"lr": 1.0 + i},
            data_digest="none",
            train=TrainSettings(data=Path("none"), steps=1),
        )
        for i in range(TRIALS)
    ]
    Ledger(url, "race", {}).enqueue(specs)
    context = multiprocessing.get_context("fork")  # each opens connections of its own, and has the libraries loaded
    taken = context.Queue()
    processes = [context.Process(target=_claim_all, args=(url, taken)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    claimed = [trial for _ in processes for trial in taken.get(timeout=600)]
    for process in processes:
        process.join()
    assert sorted(claimed) == sorted(spec.id for spec in specs)


def test_a_study_runs_on_postgres(postgres: str, tmp_path: Path) -> None:
    place = Place(tmp_path / "here", used=False)
    done = place.run(
        *place.study,
        "--json",
        POSEBENCH_STORAGE=f"postgresql+psycopg://posebench@{postgres}/ledger",
        MLFLOW_TRACKING_URI=f"postgresql+psycopg://posebench@{postgres}/records",
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["status"] == "complete"
    assert document["trials"]["complete"] == PLANNED
    assert not list(place.folder.glob("*.db")), "state belongs into PostgreSQL"
