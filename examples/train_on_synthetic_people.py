"""Make a data set of synthetic people, train the small network on it, and score the checkpoint.

python examples/train_on_synthetic_people.py --images 300 --steps 500
"""

import argparse
from pathlib import Path

import torch

from posemodel import LoaderSettings, TrainSettings, evaluate, generate, train


def show(step: int, metrics: dict[str, float]) -> None:
    """Print the loss at each window of steps."""
    if "loss" in metrics:
        print(f"step {step}: loss {metrics['loss']:.4f}")


def main() -> None:
    """Generate the data, train and evaluate; checkpoints are written to the folder --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("data/example-people"), help="data set, made if it does not exist"
    )
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--size", type=int, default=192, help="side of the network's input in pixels")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path("runs/example"))
    arguments = parser.parse_args()

    generate(arguments.data, images=arguments.images, seed=0)
    settings = TrainSettings(
        data=arguments.data,
        network="small",
        size=arguments.size,
        steps=arguments.steps,
        loader=LoaderSettings(batch_size=8),
    )
    result = train(
        settings,
        lambda parameters: torch.optim.Adam(parameters, lr=2e-3),
        out=arguments.out,
        on_metrics=show,
    )
    print(f"{result.status} after {result.step} steps at {result.metrics['images_per_s']:.1f} images/s")

    checkpoint = arguments.out / "last.safetensors"
    for flip in (False, True):
        scores = evaluate(checkpoint, arguments.data, split="val", flip=flip)
        averaged = "averaged with the mirror image" if flip else "as it is"
        print(f"AP {scores.ap:.4f} over {scores.images} images, {averaged}")
    print(f"checkpoint: {checkpoint}")


if __name__ == "__main__":
    main()
