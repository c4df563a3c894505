"""The state of a training run in one file; a run resumed from it takes the same steps as an uninterrupted one."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from posemodel.atomic_write import atomic_path
from posemodel.config import TrainSettings
from posemodel.data.layout import DataSet, fingerprint
from posemodel.errors import CheckpointError
from posemodel.network import PoseNetwork
from posemodel.training.averages import WeightAverage
from posemodel.training.mean_loss import MeanLoss
from posemodel.training.optimizer_state import plain_state, restore_state
from posemodel.training.random_state import random_state, restore_random_state
from posemodel.training.schedule import Plateau
from posemodel.training.throughput import Totals

RESUME_FILE = "resume.pt"


@dataclass
class Progress:
    """Progress of a run: steps taken, position in the epoch, best validation so far."""

    step: int = 0
    """Gradient evaluations."""
    updates: int = 0
    """Updates of the weights; fewer than steps if some took several gradient evaluations."""
    epoch: int = 0
    samples_done: int = 0
    eval_seconds: float = 0.0
    ap_best: float = -1.0
    ap_best_step: int = 0
    val_loss_best: float = math.inf

    def is_best(self, figures: Mapping[str, float], *, by_ap: bool) -> bool:
        """Add a validation's metrics and return whether it is the best so far.

        It is judged by AP if ``by_ap`` is set and the metrics have one, else by validation loss.
        """
        better_ap = figures.get("ap", -1.0) > self.ap_best
        better_loss = figures["val_loss"] < self.val_loss_best
        if better_ap:
            self.ap_best, self.ap_best_step = figures["ap"], self.step
        if better_loss:
            self.val_loss_best = figures["val_loss"]
        return better_ap if by_ap and "ap" in figures else better_loss


@dataclass
class TrainingState:
    """Everything that the next step depends on."""

    network: PoseNetwork
    optimizer: Optimizer
    scheduler: LambdaLR | None
    identity: Mapping[str, Any]
    """Facts that must be the same when the run is resumed."""
    progress: Progress = field(default_factory=Progress)
    totals: Totals = field(default_factory=Totals)
    plateau: Plateau = field(default_factory=Plateau)
    average: WeightAverage | None = None
    losses: MeanLoss | None = None
    """Losses that the next report is the mean of."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Last value of every metric, so that a run killed after its last step still has its AP."""

    def save(self, path: Path) -> None:
        """Write the state to ``path``, completely or not at all."""
        state = {
            "identity": dict(self.identity),
            "network": self.network.state_dict(),
            "optimizer": plain_state(self.optimizer),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "progress": asdict(self.progress),
            "totals": asdict(self.totals),
            "plateau": asdict(self.plateau),
            "average": None if self.average is None else self.average.state_dict(),
            "losses": None if self.losses is None else self.losses.state_dict(),
            "metrics": {name: float(value) for name, value in self.metrics.items()},
            "random": random_state(next(self.network.parameters()).device),
        }
        with atomic_path(path) as temporary:
            torch.save(state, temporary)

    def restore(self, path: Path, device: torch.device) -> None:
        """Load the state in ``path``; CheckpointError names the settings that differ from those of that run."""
        try:
            state = torch.load(path, map_location=device, weights_only=True)
            known, metrics = dict(state["identity"]), dict(state["metrics"])
        except Exception as error:
            raise CheckpointError(f"{path}: cannot be read as a training state ({type(error).__name__}).") from error
        changed = [
            f"{key}: {known.get(key)!r} -> {self.identity.get(key)!r}"
            for key in sorted({*known, *self.identity})
            if known.get(key) != self.identity.get(key)
        ]
        if changed:
            raise CheckpointError(f"{path}: was made with other settings ({'; '.join(changed)}). Use another --out.")
        self.network.load_state_dict(state["network"])
        try:
            restore_state(self.optimizer, state["optimizer"])
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.losses is not None and state.get("losses") is not None:  # earlier versions reported before they saved
            self.losses.load_state_dict(state["losses"])
        restore_random_state(device, state["random"])
        state["progress"].setdefault("updates", state["progress"]["step"])  # earlier versions did not count them
        for own, name in ((self.progress, "progress"), (self.totals, "totals"), (self.plateau, "plateau")):
            for entry in fields(own):
                setattr(own, entry.name, state[name][entry.name])
        self.metrics.update(metrics)


def stored_identity(out: Path) -> dict[str, Any]:
    """Return the facts with which the run in ``out`` was begun; nothing if it has no state that can be read."""
    try:
        return dict(torch.load(out / RESUME_FILE, map_location="cpu", mmap=True, weights_only=True)["identity"])
    except Exception:  # whoever resumes the run says what is wrong with the file
        return {}


def resumable(out: Path | None) -> Path | None:
    """Return the state file in ``out``; None if the run was interrupted before it wrote one.

    Raises CheckpointError if there is no such folder.
    """
    if out is None or not out.is_dir():
        raise CheckpointError(f"{out}: no such folder, so there is nothing to resume.")
    return out / RESUME_FILE if (out / RESUME_FILE).is_file() else None


def identity_of(settings: TrainSettings, run_record: Mapping[str, Any], processes: int) -> dict[str, Any]:
    """Collect the facts that must be the same when a run is resumed.

    Device, workers and reporting intervals may change; so may the numbers of processes and of accumulated batches, if a
    step still takes the same number of images.
    """
    changeable = {"data", "device", "loader", "log_every", "val_every", "ap_every", "evaluations", "checkpoint_every"}
    changeable |= {"time_limit", "accumulate", "weights", "files"}
    if settings.exif == "ignore":
        changeable |= {"exif"}  # earlier versions had no such setting, and read pixels as stored
    return {
        **settings.model_dump(mode="json", exclude=changeable),
        "batch_size": settings.loader.batch_size * settings.accumulate * processes,
        "data": fingerprint(DataSet(settings.data, settings.files)),
        **run_record,
    }
