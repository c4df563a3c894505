"""Define a network with a class, train it by its path, and predict from its checkpoint.

python examples/own_network.py --steps 200

The commands find the class in the folder from which they run, so in examples/:

posebench train --data ../data/example-people --network own_network:Plain --steps 200
posebench study optimizers --preset smoke --network own_network:Plain
posebench predict PICTURES --checkpoint ../runs/own-network/last.safetensors --draw drawn
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from posemodel import LoaderSettings, Maps, PoseNetwork, Skeleton, TrainSettings, generate, predict, train


class Plain(PoseNetwork):
    """A minimal network: five convolutions, then one to the maps; a single stage at stride 8."""

    stride = 8
    size_multiple = 8
    default_size = 128

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__(skeleton)
        layers: list[nn.Module] = []
        channels = 3
        for width, step in ((16, 2), (32, 2), (64, 2), (64, 1), (64, 1)):
            layers += [nn.Conv2d(channels, width, 3, stride=step, padding=1), nn.ReLU(inplace=True)]
            channels = width
        self.backbone = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels, skeleton.num_heatmaps + skeleton.num_pafs, 1)

    def stages(self, images: torch.Tensor) -> list[Maps]:
        """Compute the maps (B, ., S/8, S/8) of normalised images (B, 3, S, S), in a single stage."""
        maps = self.head(self.backbone(images))
        heatmaps = self.skeleton.num_heatmaps
        return [Maps(maps[:, :heatmaps], maps[:, heatmaps:])]


def main() -> None:
    """Train it briefly, then load its checkpoint and find people in an array of pixels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("data/example-people"), help="data set, made if it does not exist"
    )
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("runs/own-network"))
    arguments = parser.parse_args()

    generate(arguments.data, images=arguments.images, seed=0)
    settings = TrainSettings(
        data=arguments.data, network="own_network:Plain", steps=arguments.steps, loader=LoaderSettings(batch_size=8)
    )
    result = train(settings, lambda parameters: torch.optim.Adam(parameters, lr=1e-3), out=arguments.out)
    parameters = sum(parameter.numel() for parameter in result.network.parameters())
    print(f"{result.status}: {parameters:,} parameters, val_loss {result.metrics['val_loss']:.4f}")

    checkpoint = arguments.out / "last.safetensors"
    grey = np.full((240, 320, 3), 128, np.uint8)  # RGB pixels, as from a camera or a video
    (detections,) = predict(checkpoint, [grey])
    print(f"in a grey picture: {len(detections.people)} people")


if __name__ == "__main__":
    main()
