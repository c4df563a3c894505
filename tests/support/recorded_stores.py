"""Stores of studies written by an earlier version: a finished and an interrupted one of each kind, with their reports.

    python -m tests.support.recorded_stores DIR [KIND ...]    # makes them anew, with the current version
    python -m tests.support.recorded_stores --pages           # writes only their pages anew

They were made by 0.1.0 before its modules were moved, those of `optimizers` by the first version that tuned each
optimizer several times. They are not made anew when the storage of studies changes, because the program must still read
them. An archive holds a working directory: stores, study file, reports, and the output of `posebench report --json` for
each study.
"""

import contextlib
import json
import shutil
import signal
import sqlite3
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from tests.support.commands import COMMANDS
from tests.support.place import MEASURING, Place
from tests.support.valley import VALLEY

RECORDED = Path(__file__).resolve().parents[1] / "bench" / "recorded"
KINDS = ("optimizers", "joint", "loaders")
ARCHIVES = {"optimizers": "optimizers-tunings", "joint": "joint", "loaders": "loaders"}
"""Of each kind."""
FIRST_PROTOCOL = "optimizers"
"""Archive of optimizers studies of 0.1.0, which tuned each optimizer once: they are refused."""
FINISHED, INTERRUPTED = "finished", "interrupted"
ELSEWHERE = "/where/it/was/made"
"""Stands in the archived stores for the absolute path of their folder."""
STUDY_FILES = {
    "optimizers": f"""
kind = "optimizers"
optimizers = ["sgd", "adam", "adabound"]
tunings = 2
trials = 3
seeds = 1
tune_steps = 20
steps = 40
evaluations = 4
batch_size = 2
controls = true
device = "cpu"

[workload]
name = "{VALLEY}"
sleep_ms = 5
""",
    "joint": f"""
kind = "joint"
optimizers = ["sgd", "adam"]
num_workers = [0]
pin_memory = [false]
batch_size = [2, 4]
trials = 6
startup_trials = 4
images = 160
seconds = 1.5
seeds = 2
device = "cpu"

[workload]
name = "{VALLEY}"
sleep_ms = 5
""",
    "loaders": """
kind = "loaders"
dataset = "own:Points"
step = "own:make_step"
num_workers = [0, 1]
batch_size = [4]
min_blocks = 3
blocks = 3
slice_s = 0.2
""",
}
OWN = """
import time
import torch
from torch.utils.data import Dataset


class Points(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        time.sleep(0.002)
        return torch.full((8,), float(index))


def make_step():
    return lambda batch: time.sleep(0.01)
"""
ENOUGH = 4
"""Records after which a study is interrupted."""


def command(kind: str, name: str) -> list[str]:
    """The command of a study, without ``--json``."""
    data = [] if kind == "loaders" else ["--data", "people"]
    return ["study", kind, "--preset", "smoke", "--study", f"{kind}.toml", "--name", name, *data]


def unpack(archive: str, folder: Path) -> Place:
    """The working directory of recorded studies, as if it had been made at ``folder``."""
    place = Place(folder)
    shutil.rmtree(folder)
    with tarfile.open(RECORDED / f"{archive}.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    _move(folder, ELSEWHERE, str(folder))
    place.forked_starts = MEASURING
    place.drops_slices = True
    return place


def _move(folder: Path, old: str, new: str) -> None:
    """Replace a path wherever the stores name it."""
    for file in folder.glob("*.db"):
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if "CHAR" in row[2]]
                columns += [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[2] == "TEXT"]
                for column in columns:
                    connection.execute(f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?)', (old, new))
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def make(kind: str, target: Path) -> None:
    """Run a kind's two studies, and pack what they leave."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Place(Path(temporary) / "here")
        place.forked_starts, place.drops_slices = MEASURING, True
        for file in place.folder.glob("*.toml"):
            file.unlink()
        (place.folder / f"{kind}.toml").write_text(STUDY_FILES[kind])
        (place.folder / "own.py").write_text(OWN)
        finished = place.run(*command(kind, FINISHED), "--json")
        assert finished.returncode == 0, finished.stderr
        process = place.start(*command(kind, INTERRUPTED))
        known = len(place.recorded())
        while len(place.recorded()) < known + ENOUGH:
            assert process.poll() is None, (place.folder / "output.txt").read_text()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        _report(place)
        (place.folder / "output.txt").unlink()
        _move(place.folder, str(place.folder), ELSEWHERE)
        _pack(place.folder, target / f"{ARCHIVES[kind]}.tar.xz")


def make_pages(kind: str) -> None:
    """Report on a kind's recorded studies again; their stores are packed as they were."""
    with tempfile.TemporaryDirectory() as temporary:
        place, kept = unpack(ARCHIVES[kind], Path(temporary) / "here"), Path(temporary) / "kept"
        shutil.rmtree(place.folder / "reports")
        _report(place)
        archive = RECORDED / f"{ARCHIVES[kind]}.tar.xz"
        with tarfile.open(archive) as packed:
            packed.extractall(kept, filter="data")
        shutil.rmtree(kept / "reports")
        shutil.copytree(place.folder / "reports", kept / "reports")
        for name in (FINISHED, INTERRUPTED):
            shutil.copy(place.folder / f"{name}.json", kept)
        _pack(kept, archive)


def _report(place: Place) -> None:
    """Both studies' reports, without what is no text, and what was printed of them."""
    for name in (FINISHED, INTERRUPTED):
        shown = place.run("report", name, "--json")
        assert shown.returncode == 0, shown.stderr
        (place.folder / f"{name}.json").write_text(json.dumps(json.loads(shown.stdout), indent=1))
    for figure in (*place.folder.rglob("*.png"), *place.folder.rglob("report.html")):
        figure.unlink()


def _pack(folder: Path, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:xz") as packed:
        for path in sorted(folder.iterdir()):
            if not path.name.endswith(("-wal", "-shm")):
                packed.add(path, path.name)


if __name__ == "__main__":
    if sys.argv[1:] == ["--pages"]:
        for each in KINDS:
            make_pages(each)
        COMMANDS.close()
        sys.exit()
    for each in sys.argv[2:] or KINDS:
        make(each, Path(sys.argv[1]))
    COMMANDS.close()
