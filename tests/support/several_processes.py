"""Run trainings in several processes, with the environment that torchrun sets, and collect what each reports.

They are forked from one process, single-threaded and with PyTorch loaded; each of them exits like a normal interpreter.

python -m tests.support.several_processes     # that process: a line of JSON for each group, its exit codes as answer
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_S = 600
POLL_S = 0.005


@dataclass(frozen=True)
class Job:
    """One training of all processes; a fault is what one of them does to itself, and at which step."""

    settings: dict[str, Any]
    lr: float = 1e-3
    optimizer: str = "sgd"
    """A key of `_optimizers`."""
    out: str | None = None
    resume: bool = False
    fault: str = ""
    """`stop` (SIGTERM), `raise` or `die` (SIGKILL) in a step, or `validation`: one that raises."""
    fault_rank: int = 1
    fault_step: int = 0
    port: int = field(default=0)


@dataclass
class Told:
    """What one process saw of one job: the first alone is told losses."""

    status: str
    losses: dict[str, float]
    rates: dict[str, float]
    """Images a second of each window."""
    trained: dict[str, float]
    """Seconds of training up to each window's end."""
    images: list[list[int]]
    """Of each batch, by image id."""
    threads: list[str]
    """Of PyTorch's process group, that live where training has ended, while its error is still held (Linux tells)."""
    seconds: float


class Trainings(AbstractContextManager["Trainings"]):
    """The process that others are forked from, from the first group on until the block ends."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, jobs: list[Job], processes: int, folder: Path) -> tuple[list[list[Told]], list[int]]:
        """What each process told of each job (as far as it came), and the processes' exit codes.

        What a process said that ended with another code than 0 is printed: pytest shows it where the test fails.
        """
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "jobs.json").write_text(json.dumps([asdict(job) | {"port": _free_port()} for job in jobs]))
        codes = self._ask({"folder": str(folder), "processes": processes})
        for rank, code in enumerate(codes):
            if code:
                print(f"process {rank} ended with {code} and said:", (folder / f"rank{rank}.txt").read_text(), sep="\n")
        files = [folder / f"rank{rank}.json" for rank in range(processes)]
        told = [[Told(**each) for each in json.loads(file.read_text())] if file.is_file() else [] for file in files]
        return told, codes

    def _ask(self, request: dict[str, Any]) -> list[int]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.several_processes"],
                env=os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that others are forked from has ended"
        codes: list[int] | None = json.loads(answer)
        if codes is None:
            raise subprocess.TimeoutExpired("a training in several processes", TIMEOUT_S)
        return codes

    def __exit__(self, *_: object) -> None:
        """End that process."""
        if self._process is not None:
            self._process.communicate()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _serve() -> None:
    """Fork groups until there is no further line; a forked process returns from here, too, and ends."""
    import torch._dynamo  # (the first optimizer imports it)
    import torch.distributed.nn.functional  # noqa: F401 (a training imports it when it begins)

    import posemodel.training.loop  # noqa: F401
    from posemodel.network import NETWORKS
    from tests.support.plain_network import PLAIN, Plain

    NETWORKS[PLAIN] = Plain
    gc.collect()
    gc.freeze()  # pages that no collection touches stay shared
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        folder, processes = Path(request["folder"]), request["processes"]
        children = []
        for rank in range(processes):
            child = os.fork()
            if child == 0:
                _become(rank, processes, folder)
                _main(folder)
                return
            children.append(child)
        print(json.dumps(_codes(children)), flush=True)


def _become(rank: int, processes: int, folder: Path) -> None:
    """Process ``rank`` of a group, as its launcher makes it; what it prints goes to a file."""
    with (folder / f"rank{rank}.txt").open("w") as said, Path(os.devnull).open() as nothing:
        for ours, stream in enumerate((nothing, said, said)):
            os.dup2(stream.fileno(), ours)
    own = {"WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 0, "RANK": rank, "LOCAL_RANK": rank}
    os.environ.update({name: str(value) for name, value in own.items()})


def _codes(children: list[int]) -> list[int] | None:
    """How they ended, as `subprocess` has it; None where they have not, in `TIMEOUT_S`: then they are killed."""
    deadline, codes = time.monotonic() + TIMEOUT_S, dict[int, int]()
    while len(codes) < len(children):
        late = time.monotonic() > deadline
        for child in children:
            if child not in codes:
                if late:
                    os.kill(child, signal.SIGKILL)
                ended, status = os.waitpid(child, 0 if late else os.WNOHANG)
                if ended:
                    codes[child] = os.waitstatus_to_exitcode(status)
        if late:
            return None
        time.sleep(POLL_S)
    return [codes[child] for child in children]


def _main(folder: Path) -> None:
    told = []
    for document in json.loads((folder / "jobs.json").read_text()):
        job = Job(**document)
        os.environ["MASTER_PORT"] = str(job.port)
        told.append(asdict(_trained(job)))
        (folder / f"rank{os.environ['RANK']}.json").write_text(json.dumps(told))


def _trained(job: Job) -> Told:
    import torch

    from posemodel.config import TrainSettings
    from posemodel.errors import DataError, PosemodelError
    from posemodel.training import loop, run
    from posemodel.training.step import TrainingStep

    torch.set_num_threads(1)
    stop: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    losses: dict[str, float] = {}
    rates: dict[str, float] = {}
    trained: dict[str, float] = {}
    images: list[list[int]] = []
    faulty = job.fault if int(os.environ["RANK"]) == job.fault_rank else ""
    step, taken = TrainingStep.__call__, [0]

    def watched(self: TrainingStep, batch: Any, remaining: int | None = None) -> int:
        images.append(batch.image_ids.tolist())
        if taken[0] + 1 == job.fault_step and faulty:
            if faulty == "raise":
                raise ValueError("a fault of this process alone")
            os.kill(os.getpid(), signal.SIGTERM if faulty == "stop" else signal.SIGKILL)
        done = step(self, batch, remaining)
        taken[0] += done
        return done

    def no_validation(*_: Any, **__: Any) -> Any:
        raise DataError("an image has gone")

    def on_metrics(at: int, metrics: dict[str, float]) -> None:
        if "loss" in metrics:
            losses[str(at)], rates[str(at)] = metrics["loss"], metrics["images_per_s"]
            trained[str(at)] = metrics["train_seconds"]

    began = time.monotonic()
    TrainingStep.__call__ = watched  # type: ignore[method-assign]
    if faulty == "validation":
        run.validate = no_validation
    threads: list[str] = []
    try:
        status = loop.train(
            TrainSettings.model_validate(job.settings),
            _optimizers(job.lr)[job.optimizer],
            out=Path(job.out) if job.out else None,
            resume=job.resume,
            on_metrics=on_metrics,
            should_stop=lambda: bool(stop),
        ).status
        threads = _group_threads()
    except KeyboardInterrupt:
        status, threads = "interrupted", _group_threads()
    except (PosemodelError, ValueError) as error:
        status, threads = f"{type(error).__name__}: {error}", _group_threads()
    finally:
        TrainingStep.__call__ = step  # type: ignore[method-assign]
    return Told(status, losses, rates, trained, images, threads, time.monotonic() - began)


def _optimizers(lr: float) -> dict[str, Any]:
    import torch

    from tests.support.driven_optimizers import Hutchinson, Sam

    return {
        "sgd": partial(torch.optim.SGD, lr=lr, momentum=0.9),
        "sam": partial(Sam, lr=lr, rho=0.5),
        "lbfgs": partial(torch.optim.LBFGS, lr=lr, max_iter=3, line_search_fn="strong_wolfe"),
        "hutchinson": partial(Hutchinson, lr=lr),
    }


def _group_threads() -> list[str]:
    names = []
    for file in Path("/proc/self/task").glob("*/comm"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            names.append(file.read_text().strip())
    return sorted(name for name in names if "gloo" in name or "tcpstore" in name)


if __name__ == "__main__":
    _serve()
