"""Maps averaged over an image's mirror image and over sizes of the input: slower, and usually better found people.

A map's cells cover the input's square whatever its size, with their centres at (i + 0.5) / cells of the side: bringing
maps of several sizes to one grid is a resize about pixel centres, and needs no more than the number of cells.
"""

from collections.abc import Sequence
from typing import Annotated, Self

import torch
from pydantic import Field, ValidationError, model_validator
from torch.nn import functional

from posemodel import skeleton
from posemodel.config import MIN_SIZE, InputSettings, Settings, in_words
from posemodel.errors import SettingsError
from posemodel.network import Maps, PoseNetwork

INTERPOLATION = "bicubic"
"""Of maps of smaller inputs: perfect maps of three sizes locate a point to 0.03 cells, bilinear ones to 0.08."""

_PARTS = torch.tensor([*skeleton.FLIPPED_PARTS.tolist(), skeleton.BACKGROUND])
_FIELDS = torch.tensor([2 * limb + axis for limb in skeleton.FLIPPED_LIMBS.tolist() for axis in (0, 1)])
_SIGNS = torch.tensor([-1.0, 1.0] * skeleton.NUM_LIMBS)[:, None, None]
"""A mirror turns x components round."""


class Averaging(Settings):
    """Over what maps are averaged before they are decoded; the default is the maps of one pass over one size."""

    flip: bool = False
    """Average with the maps of the mirror image."""
    scales: Annotated[tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...], Field(min_length=1)] = (1.0,)
    """Sides of the inputs relative to the side asked for."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.scales)) < len(self.scales):
            raise ValueError("scales: each may be given once")
        return self

    @classmethod
    def checked(cls, *, flip: bool, scales: Sequence[float]) -> Self:
        """The settings, or SettingsError in words."""
        try:
            return cls(flip=flip, scales=tuple(scales))
        except ValidationError as error:
            raise SettingsError(f"{in_words(error)}.") from error

    def geometries(self, geometry: InputSettings, size_multiple: int) -> tuple[InputSettings, ...]:
        """The input of each scale, the largest first: its maps' grid is the one that all are brought to.

        A side is rounded to the nearest multiple that the network takes; SettingsError where two come out equal.
        """
        by_size: dict[int, float] = {}
        least = -(-MIN_SIZE // size_multiple)
        for scale in self.scales:
            exact = scale == 1.0  # the side that was asked for is one that the network takes
            size = geometry.size if exact else max(round(geometry.size * scale / size_multiple), least) * size_multiple
            if size in by_size:
                raise SettingsError(
                    f"scales: {by_size[size]:g} and {scale:g} of {geometry.size} pixels are both {size} pixels for "
                    f"this network (a multiple of {size_multiple}, at least {MIN_SIZE}); leave one out."
                )
            by_size[size] = scale
        return tuple(InputSettings(size=size, stride=geometry.stride) for size in sorted(by_size, reverse=True))


def averaged_maps(network: PoseNetwork, inputs: Sequence[torch.Tensor], *, flip: bool = False) -> Maps:
    """The last stage's maps of the same pictures at one or more sizes, averaged on the grid of the first.

    Args:
        network: In evaluation mode, on the device of the inputs.
        inputs: RGB uint8 (B, 3, S, S), one for each size S, the largest first.
        flip: Average with the maps of the mirror images, flipped back.

    Returns:
        Maps (B, 19, C, C) and (B, 38, C, C). With ``flip`` those of a mirror image are exactly the mirror image of
        those of the image, as far as the network gives the same input the same maps.
    """
    maps = _over_sizes(network, inputs)
    if not flip:
        return maps
    # Flipped once, at the end: sums in the same order on both sides are what makes the symmetry exact.
    mirrored = flipped_maps(_over_sizes(network, [images.flip(-1) for images in inputs]))
    return Maps(*((own + other) / 2 for own, other in zip(maps, mirrored, strict=True)))


def flipped_maps(maps: Maps) -> Maps:
    """The maps (B, 19, C, C) and (B, 38, C, C) of the mirror images: left and right parts and limbs change places."""
    device = maps.pafs.device
    pafs = maps.pafs.flip(-1)[:, _FIELDS.to(device)] * _SIGNS.to(device, maps.pafs.dtype)
    return Maps(maps.heatmaps.flip(-1)[:, _PARTS.to(device)], pafs)


def resized_maps(maps: Maps, cells: int) -> Maps:
    """Maps of any grid on one of ``cells`` a side over the same square: x' = (x + 0.5) * cells / C - 0.5."""
    return Maps(*(_resized(each, cells) for each in maps))


def _resized(maps: torch.Tensor, cells: int) -> torch.Tensor:
    if maps.shape[-1] == cells:
        return maps
    # `align_corners=False` is the convention of pixel centres at (i + 0.5).
    return functional.interpolate(maps, size=(cells, cells), mode=INTERPOLATION, align_corners=False)


def _over_sizes(network: PoseNetwork, inputs: Sequence[torch.Tensor]) -> Maps:
    maps = network(inputs[0])[-1]
    if len(inputs) == 1:
        return maps
    heatmaps, pafs = maps.heatmaps.float(), maps.pafs.float()
    for images in inputs[1:]:
        other = resized_maps(Maps(*(each.float() for each in network(images)[-1])), heatmaps.shape[-1])
        heatmaps, pafs = heatmaps + other.heatmaps, pafs + other.pafs
    return Maps(heatmaps / len(inputs), pafs / len(inputs))
