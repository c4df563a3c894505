"""The whole state of a training run in one file, so that a resumed run takes the steps of the interrupted one."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from posemodel.atomic_write import replacing
from posemodel.errors import CheckpointError
from posemodel.network import PoseNetwork
from posemodel.throughput import Totals


@dataclass
class Progress:
    """Where a run stands: steps taken, the epoch and the samples of it that are done, the best so far."""

    step: int = 0
    epoch: int = 0
    samples_done: int = 0
    eval_seconds: float = 0.0
    ap_best: float = -1.0
    ap_best_step: int = 0
    val_loss_best: float = math.inf


@dataclass
class TrainingState:
    """Everything that the next step depends on."""

    network: PoseNetwork
    optimizer: Optimizer
    scheduler: LambdaLR
    identity: Mapping[str, Any]
    """What must not change between a run and its resumption."""
    progress: Progress = field(default_factory=Progress)
    totals: Totals = field(default_factory=Totals)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of everything measured: a run killed after its last step still has its AP to tell."""

    def save(self, path: Path) -> None:
        """Write the state to ``path``, whole or not at all."""
        state = {
            "identity": dict(self.identity),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "progress": asdict(self.progress),
            "totals": asdict(self.totals),
            "metrics": {name: float(value) for name, value in self.metrics.items()},
            "random": torch.get_rng_state(),
        }
        with replacing(path) as temporary:
            torch.save(state, temporary)

    def restore(self, path: Path, device: torch.device) -> None:
        """Take up the state of ``path``; CheckpointError names the settings that differ from that run's."""
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
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["random"].cpu())
        for own, values in ((self.progress, state["progress"]), (self.totals, state["totals"])):
            for entry in fields(own):
                setattr(own, entry.name, values[entry.name])
        self.metrics.update(metrics)


def optimizer_state_bytes(optimizer: Optimizer) -> int:
    """Memory of everything that the optimizer keeps for its parameters."""
    return sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )
