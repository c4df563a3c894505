"""Training samples of a split: a map-style Dataset whose samples depend only on (seed, epoch, position).

The random numbers of a sample do not depend on the worker that makes it, so every num_workers, start method and
prefetch_factor gives the same batches.
"""

from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from posemodel.config import AugmentSettings, InputSettings, TargetsMaker
from posemodel.data.augment import Warp, letterbox, random_colour, random_warp
from posemodel.data.batch import Batch
from posemodel.data.images.files import decode_reduced
from posemodel.data.open_split import PackedSplit
from posemodel.data.targets import make_heatmaps, make_pafs


class PoseDataset(Dataset[Batch]):
    """Samples of a split. An index is (epoch, position); a plain position means epoch 0."""

    def __init__(
        self,
        split: PackedSplit,
        geometry: InputSettings,
        *,
        augment: AugmentSettings | None = None,
        seed: int = 0,
        with_targets: bool = True,
    ) -> None:
        """Make samples of ``split``; ``with_targets=False`` leaves target maps to `posemodel.data.device_targets`.

        Images of a skeleton without mirror pairs are never flipped, whatever ``augment`` says.
        """
        self.split = split
        self.with_targets = with_targets
        self.geometry = geometry
        self.skeleton = split.skeleton
        self.augment = augment if augment is not None and augment.enabled else None
        if self.augment is not None and not self.skeleton.flips:
            self.augment = self.augment.model_copy(update={"flip": 0.0})
        self.seed = seed

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int | tuple[int, int]) -> Batch:
        epoch, position = index if isinstance(index, tuple) else (0, index)
        size, cells = self.geometry.size, self.geometry.cells
        width, height = self.split.size(position)
        people = self.split.people(position)
        if self.augment is None:
            warp = letterbox(width, height, size)
            pixels = self._pixels(position, warp)
        else:
            rng = Random(f"{self.seed} {epoch} {position}")  # NumPy's is ten times slower to create and to draw from
            warp = random_warp(rng, width, height, people, size, self.augment)
            pixels = random_colour(rng, self._pixels(position, warp), self.augment)
        people = warp.people(people, self.skeleton)
        mask = warp.mask(self.split.ignore_mask(position), size, cells)
        heatmaps = pafs = None
        if self.with_targets:
            heatmaps = torch.from_numpy(make_heatmaps(people, self.geometry)).half()
            pafs = torch.from_numpy(make_pafs(people, self.geometry, self.skeleton, dtype=np.float16))
        return Batch(
            images=torch.from_numpy(pixels).permute(2, 0, 1),
            heatmaps=heatmaps,
            pafs=pafs,
            mask=torch.from_numpy(mask[None]),
            people=torch.from_numpy(people),
            warps=torch.from_numpy(warp.matrix),
            image_ids=torch.tensor(self.split.image_id(position)),
        )

    def _pixels(self, position: int, warp: Warp) -> NDArray[np.uint8]:
        """Return the warped image, RGB (S, S, 3); decoded smaller if the warp shrinks it anyway."""
        size, reduction = self.geometry.size, warp.reduction()
        if reduction > 1:
            width, height = self.split.size(position)
            image, reduction = decode_reduced(self.split.path(position), reduction, exif=self.split.exif)
            if image is not None and image.shape[:2] == (-(-height // reduction), -(-width // reduction)):
                return warp.image(image, size, reduction)
        return warp.image(self.split.read_image(position), size)


def targets_in_workers(setting: TargetsMaker, device: torch.device) -> bool:
    """Return whether the loader makes the target maps; for `auto`, if the network is on the CPU (docs/decisions.md)."""
    return setting == "loader" or (setting == "auto" and device.type == "cpu")
