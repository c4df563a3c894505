"""Compare two optimizers over several seeds, each with equal data, initial weights and data order.

    python examples/compare_two_optimizers.py --seeds 3

Small differences mean nothing here: neither optimizer is tuned. So the differences of all seeds are printed, to show
how much they vary. `posebench study optimizers` adds tuning, intervals, tests and records.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn

from posemodel import LoaderSettings, TrainSettings, generate, train

OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]] = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=2e-3),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-1, momentum=0.9, nesterov=True),
}


def main() -> None:
    """Train with each optimizer once per seed; print the validation losses and their differences by seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("data/example-people"), help="data set, made if it does not exist"
    )
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--size", type=int, default=128, help="side of the network's input in pixels")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    generate(arguments.data, images=arguments.images, seed=0)
    losses: dict[str, list[float]] = {name: [] for name in OPTIMIZERS}
    for seed in range(arguments.seeds):
        settings = TrainSettings(
            data=arguments.data,
            network="small",
            size=arguments.size,
            steps=arguments.steps,
            seed=seed,
            loader=LoaderSettings(batch_size=8),
        )
        for name, make_optimizer in OPTIMIZERS.items():
            result = train(settings, make_optimizer)
            losses[name].append(result.metrics["val_loss"])
            print(f"seed {seed}, {name}: {result.status}, val_loss {losses[name][-1]:.4f}")
    first, second = OPTIMIZERS
    differences = [a - b for a, b in zip(losses[first], losses[second], strict=True)]
    print(f"val_loss of {first} minus {second}, seed by seed: {', '.join(f'{each:+.4f}' for each in differences)}")


if __name__ == "__main__":
    main()
