"""Compare the six optimizers on a network of your own: a small classifier of the handwritten digits of scikit-learn.

python examples/own_workload.py              # or, in the folder of this file, with any option of a study:
posebench study optimizers --workload own_workload:Digits --workload-setting width=32 --tunings 3

The guide is docs/guide/own-workload.md.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import cross_entropy

from bench.workloads import MakeOptimizer, Score, Settings, Split, Trained, WorkloadBase, WorkloadRun, train_steps
from posemodel.device import choose_device

try:
    from sklearn.datasets import load_digits
except ImportError as error:
    raise SystemExit("this example needs scikit-learn: pip install scikit-learn") from error

SHARES = {"train": 0.6, "select": 0.2, "report": 0.2}
"""Settings are chosen by the score on `select`; reports show that on `report`."""
LARGEST_SEED = 2**31


class DigitsSettings(Settings):
    """The settings of the workload itself, equal for all optimizers of a study."""

    width: int = Field(default=16, ge=1)
    """Channels of the first convolution."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the activations that each step leaves out."""


class DigitsRun(DigitsSettings, WorkloadRun):
    """One run: these settings and the suite's decisions (budget, schedule, batch size, seed and so on)."""


class Digits(WorkloadBase):
    """The workload: 1,797 pictures of 8 x 8 pixels, ten classes."""

    settings = DigitsSettings
    run = DigitsRun
    score = Score("accuracy", "maximize", low=0, high=100, chance=10, failure=0)
    sample_name = "digits"

    def train(self, run: DigitsRun, make_optimizer: MakeOptimizer, **calls: Any) -> Trained:
        """Train once; `train_steps` keeps the budget, the schedule and the state, and stops where it is asked to."""
        device = choose_device(run.device)
        data = {part: (pictures.to(device), classes.to(device)) for part, (pictures, classes) in digits().items()}
        torch.manual_seed(run.seed)
        network = classifier(run.width, run.dropout).to(device)

        def loss(step: int) -> torch.Tensor:
            seed = (run.seed * 1_000_003 + step) % LARGEST_SEED
            torch.manual_seed(seed)  # dropout and batch follow from seed and step: a resumed run is the same run
            pictures, classes = data["train"]
            batch = torch.randint(len(classes), (run.loader.batch_size,)).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=run.precision == "bf16"):
                outputs = network(pictures[batch])
            return cross_entropy(outputs.float(), classes[batch])

        def accuracy(split: Split) -> float:
            pictures, classes = data[split]
            return 100 * (network(pictures).argmax(1) == classes).float().mean().item()

        return train_steps(run, network, make_optimizer, self.score, loss=loss, score_on=accuracy, **calls)


def classifier(width: int, dropout: float) -> nn.Module:
    """Build the network: pictures (B, 1, 8, 8) to ten outputs (B, 10)."""
    return nn.Sequential(
        *(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(dropout), nn.Linear(8 * width, 10)),
    )


@cache
def digits() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return pictures (N, 1, 8, 8) of values from 0 to 1, and classes (N), of each part of the data."""
    whole = load_digits()
    order = np.random.default_rng(0).permutation(len(whole.target))
    ends = np.cumsum([round(share * len(order)) for share in SHARES.values()])[:-1]
    pictures, classes = torch.tensor(whole.images / 16, dtype=torch.float32)[:, None], torch.tensor(whole.target)
    return {name: (pictures[rows], classes[rows]) for name, rows in zip(SHARES, np.split(order, ends), strict=True)}


if __name__ == "__main__":
    import sys

    from bench.cli.app import main

    budget = ["--tunings", "3", "--trials", "10", "--tune-steps", "120", "--steps", "240", "--batch-size", "32"]
    study = ["study", "optimizers", "--workload", "own_workload:Digits", "--name", "digits", "--preset", "small"]
    sys.argv[1:] = [*study, *budget, "--device", "cpu", *sys.argv[1:]]
    main()
