"""A study whose records are on a real `mlflow server` with its own PostgreSQL, which tests kill and start again."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.workloads.protocol import Trained
from tests.support.place import PLANNED, VALLEY_FILE, Place
from tests.support.postgres import postgres_server
from tests.support.restarted_servers import MlflowServer, Postgres, mlflow_server, until
from tests.support.running_study import output
from tests.support.valley import VALLEY, Valley

RECORDS, LEDGER = "records", "ledger"
TRIAL_S = 0.6
"""Length of a trial: long enough to be met while it trains."""
MARKED = "tests.support.away_servers:MarkedValley"
SLOW_FILE = f"{VALLEY_FILE.replace(VALLEY, MARKED)}sleep_ms = {1000 * TRIAL_S / 20:.0f}\n"
MARKS = Path("trainings")
"""File in the working directory: a byte for each training that was begun."""
_RUNS = "runs JOIN experiments USING (experiment_id)"
_RECORDED = f"""
    SELECT trial.value FROM {_RUNS} JOIN tags AS trial USING (run_uuid) JOIN tags AS done USING (run_uuid)
    WHERE experiments.name = '%s' AND trial.key = 'posebench.trial' AND done.key = 'posebench.recorded'
    AND runs.status IN ('FINISHED', 'FAILED')
"""
_STATES = f"""
    SELECT status, count(*) FROM {_RUNS} WHERE experiments.name = '%s' AND runs.lifecycle_stage = 'active'
    GROUP BY status
"""


class MarkedValley(Valley):
    """The valley, which says when it is being descended: its trial's run is written by then."""

    name = MARKED

    def train(self, *arguments: Any, **keywords: Any) -> Trained:
        """Descend."""
        with MARKS.open("ab") as marks:
            marks.write(b".")
        return super().train(*arguments, **keywords)


class Servers:
    """A tracking server, its database, and that of the ledger."""

    def __init__(self, tracking: MlflowServer, records: Postgres, ledger: Postgres) -> None:
        """They run."""
        self.tracking, self.records, self.ledger = tracking, records, ledger

    @property
    def tracking_alone(self) -> dict[str, str]:
        """Environment of a study whose ledger is a file."""
        return {"MLFLOW_TRACKING_URI": self.tracking.address}

    @property
    def both(self) -> dict[str, str]:
        """Environment of a study whose ledger is on a server too."""
        return {"POSEBENCH_STORAGE": self.ledger.url(LEDGER), **self.tracking_alone}

    def recorded(self, study: str) -> list[str]:
        """Trial ids of closed records, one for each run that counts."""
        return [trial for (trial,) in self.records.rows(RECORDS, _RECORDED % study)]

    def run_states(self, study: str) -> Counter[str]:
        """Number of MLflow runs by state."""
        return Counter(dict(self.records.rows(RECORDS, _STATES % study)))


@contextmanager
def servers(folder: Path, *, forked: bool = False) -> Iterator[Servers]:
    """All three, until the block ends; ``forked``: the tracking server starts in no time."""
    with postgres_server((RECORDS,)) as records, postgres_server((LEDGER,)) as ledger:
        database = Postgres(records)
        with mlflow_server(database.url(RECORDS), folder, forked=forked) as tracking:
            yield Servers(tracking, database, Postgres(ledger))


def slow_study(place: Place, name: str) -> tuple[str, ...]:
    """The command that runs a study of this name whose trials can be met."""
    (place.folder / "slow.toml").write_text(SLOW_FILE)
    return (*place.study_of("slow.toml"), "--name", name)


def trainings(place: Place) -> int:
    """Number of trainings that were begun."""
    marks = place.folder / MARKS
    return marks.stat().st_size if marks.exists() else 0


def waiting_files(place: Place) -> list[Path]:
    """The records that wait on disk."""
    return sorted((place.folder / ".posebench" / "waiting").glob("*/*.json"))


def until_it_waits(place: Place) -> dict:
    """Wait for a record on disk, and return what stands in it."""
    until(lambda: waiting_files(place), f"a record on disk\n{output(place)}")
    return json.loads(waiting_files(place)[0].read_text())["document"]


def assert_whole(servers: Servers, place: Place, study: str) -> None:
    """Each planned trial is recorded once, no run is open, and nothing waits."""
    recorded = servers.recorded(study)
    assert len(recorded) == len(set(recorded)) == PLANNED
    assert servers.run_states(study)["RUNNING"] == 0
    assert not (place.folder / ".posebench").exists()
