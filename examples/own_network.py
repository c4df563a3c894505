"""A network of one's own: a class and a line in the registry; training, checkpoints and prediction take it by name.

python examples/own_network.py --steps 200
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from posemodel import NETWORKS, LoaderSettings, Maps, PoseNetwork, TrainSettings, generate, predict, train
from posemodel.skeleton import NUM_HEATMAPS, NUM_PAFS


class Plain(PoseNetwork):
    """Five convolutions, then one to the maps: a single stage at stride 8."""

    stride = 8
    size_multiple = 8
    default_size = 128

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, step in ((16, 2), (32, 2), (64, 2), (64, 1), (64, 1)):
            layers += [nn.Conv2d(channels, width, 3, stride=step, padding=1), nn.ReLU(inplace=True)]
            channels = width
        self.backbone = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels, NUM_HEATMAPS + NUM_PAFS, 1)

    def stages(self, images: torch.Tensor) -> list[Maps]:
        """Normalised images (B, 3, S, S) -> one stage of maps (B, ., S/8, S/8)."""
        maps = self.head(self.backbone(images))
        return [Maps(maps[:, :NUM_HEATMAPS], maps[:, NUM_HEATMAPS:])]


NETWORKS["plain"] = Plain


def main() -> None:
    """Train it for a while, then load its checkpoint and look at an image that is no file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/example-people"), help="made here, kept and used again")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("runs/own-network"))
    arguments = parser.parse_args()

    generate(arguments.data, images=arguments.images, seed=0)
    settings = TrainSettings(
        data=arguments.data, network="plain", steps=arguments.steps, loader=LoaderSettings(batch_size=8)
    )
    result = train(settings, lambda parameters: torch.optim.Adam(parameters, lr=1e-3), out=arguments.out)
    parameters = sum(parameter.numel() for parameter in result.network.parameters())
    print(f"{result.status}: {parameters:,} parameters, val_loss {result.metrics['val_loss']:.4f}")

    checkpoint = arguments.out / "last.safetensors"
    grey = np.full((240, 320, 3), 128, np.uint8)  # RGB pixels, as a camera or a video gives them
    (found,) = predict(checkpoint, [grey])
    print(f"in a grey picture: {len(found.people)} people")


if __name__ == "__main__":
    main()
