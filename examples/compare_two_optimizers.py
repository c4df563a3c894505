"""Two optimizers on the same data, from the same initial weights and in the same order, over several seeds.

    python examples/compare_two_optimizers.py --seeds 3

`posebench study optimizers` is this with tuning, intervals, tests and records. Without them a difference of a few
points says nothing: the differences seed by seed are printed for you to see how far they scatter.
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
    """Train each optimizer once a seed; print the validation losses and their paired differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/example-people"), help="made here, kept and used again")
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
