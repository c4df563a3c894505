"""Average maps over the mirror image and over several input sizes: slower, and usually more accurate.

A map covers the square of the input whatever its size; its cells are centred at (i + 0.5) / cells of the side. Maps of
several input sizes are therefore brought to one grid by a resize about pixel centres.
"""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Self

import torch
from pydantic import Field, ValidationError, model_validator
from torch.nn import functional

from posemodel.config import MIN_SIZE, InputSettings, Settings, first_problem
from posemodel.errors import SettingsError
from posemodel.network import Maps, PoseNetwork
from posemodel.skeleton import Skeleton

INTERPOLATION = "bicubic"
"""Interpolation of the maps of smaller inputs: perfect maps of three sizes locate a point to 0.03 cells (bilinear:
0.08)."""


class Averaging(Settings):
    """Settings of the averaging of maps before decoding; by default there is one pass at one size."""

    flip: bool = False
    """Average the maps with those of the mirror image."""
    scales: Annotated[tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...], Field(min_length=1)] = (1.0,)
    """Sides of the inputs, relative to the requested side."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.scales)) < len(self.scales):
            raise ValueError("scales: each may be given once")
        return self

    @classmethod
    def checked(cls, *, flip: bool, scales: Sequence[float]) -> Self:
        """Return valid settings; raise SettingsError if they are invalid."""
        try:
            return cls(flip=flip, scales=tuple(scales))
        except ValidationError as error:
            raise SettingsError(f"{first_problem(error)}.") from error

    def geometries(self, geometry: InputSettings, network: PoseNetwork) -> tuple[InputSettings, ...]:
        """Return the input geometry of each scale, the largest first, to whose grid all maps are resampled.

        A side is rounded to the nearest multiple that the network takes. Raises SettingsError if two sides become
        equal, or if the mirror image is asked for and the network's skeleton has none.
        """
        size_multiple, skeleton = network.size_multiple, network.skeleton
        if self.flip and not skeleton.flips:
            raise SettingsError(
                f"flip: the skeleton {skeleton.name!r} of this network has no mirror pairs: its mirror image is "
                "something else. Leave the flip out."
            )
        by_size: dict[int, float] = {}
        least = -(-MIN_SIZE // size_multiple)
        for scale in self.scales:
            exact = scale == 1.0  # the network takes the requested side as it is
            size = geometry.size if exact else max(round(geometry.size * scale / size_multiple), least) * size_multiple
            if size in by_size:
                raise SettingsError(
                    f"scales: {by_size[size]:g} and {scale:g} of {geometry.size} pixels are both {size} pixels for "
                    f"this network (a multiple of {size_multiple}, at least {MIN_SIZE}); leave one out."
                )
            by_size[size] = scale
        return tuple(InputSettings(size=size, stride=geometry.stride) for size in sorted(by_size, reverse=True))


def averaged_maps(network: PoseNetwork, inputs: Sequence[torch.Tensor], *, flip: bool = False) -> Maps:
    """Return the last stage's maps of pictures, averaged over one or more input sizes on the grid of the first.

    Args:
        network: In evaluation mode, on the device of the inputs.
        inputs: RGB uint8 (B, 3, S, S), one for each size S, the largest first.
        flip: Average the maps with those of the mirror images, flipped back.

    Returns:
        Maps (B, P + 1, C, C) and (B, 2L, C, C). With ``flip``, a mirror image has exactly the mirrored maps, provided
        that the network is deterministic; but limbs without a mirror image have the maps of the picture alone.
    """
    maps = _over_sizes(network, inputs)
    if not flip:
        return maps
    skeleton = network.skeleton
    # Flipped once, at the end: only sums in the same order on both sides make the symmetry exact.
    mirrored = flipped_maps(_over_sizes(network, [images.flip(-1) for images in inputs]), skeleton)
    heatmaps, pafs = ((own + other) / 2 for own, other in zip(maps.complete(), mirrored.complete(), strict=True))
    one_sided = [limb for limb, (image, _) in enumerate(skeleton.flipped_limbs) if image < 0]
    if one_sided:
        pafs.unflatten(1, (-1, 2))[:, one_sided] = maps.complete()[1].unflatten(1, (-1, 2))[:, one_sided]
    return Maps(heatmaps, pafs)


def flipped_maps(maps: Maps, skeleton: Skeleton) -> Maps:
    """Return the maps (B, P + 1, C, C) and (B, 2L, C, C) of the mirror images, with left and right swapped.

    Nothing is known of a limb whose mirror image is no limb of the skeleton: its map is 0.
    """
    heatmaps, pafs = maps.complete()
    parts, fields, signs = (each.to(pafs.device) for each in _mirror_channels(skeleton))
    return Maps(heatmaps.flip(-1)[:, parts], pafs.flip(-1)[:, fields] * signs.to(pafs.dtype))


@cache
def _mirror_channels(skeleton: Skeleton) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a mirror image's channel for each heatmap and each PAF channel, and the PAF channels' signs (2L, 1, 1).

    A mirror image reverses x components. A limb whose mirror image runs back is reversed in both; (-x, y) becomes
    (x, -y).
    """
    fields, signs = [], []
    for image, direction in skeleton.flipped_limbs:
        known = image >= 0
        fields += [2 * image, 2 * image + 1] if known else [0, 0]
        signs += [-direction * known, direction * known]
    with torch.inference_mode(False):
        parts = torch.tensor([*skeleton.flipped_parts.tolist(), skeleton.background])
        return parts, torch.tensor(fields, dtype=torch.int64), torch.tensor(signs, dtype=torch.float32)[:, None, None]


def resized_maps(maps: Maps, cells: int) -> Maps:
    """Resample maps to a grid of ``cells`` a side over the same square: x' = (x + 0.5) * cells / C - 0.5."""
    return Maps(*(_resized(each, cells) for each in maps.complete()))


def _resized(maps: torch.Tensor, cells: int) -> torch.Tensor:
    if maps.shape[-1] == cells:
        return maps
    # `align_corners=False` is the convention of pixel centres at (i + 0.5).
    return functional.interpolate(maps, size=(cells, cells), mode=INTERPOLATION, align_corners=False)


def _over_sizes(network: PoseNetwork, inputs: Sequence[torch.Tensor]) -> Maps:
    maps: Maps = network(inputs[0])[-1]
    if len(inputs) == 1:
        return maps
    heatmaps, pafs = (each.float() for each in maps.complete())
    for images in inputs[1:]:
        other: Maps = network(images)[-1]
        more_heatmaps, more_pafs = (_resized(each.float(), heatmaps.shape[-1]) for each in other.complete())
        heatmaps, pafs = heatmaps + more_heatmaps, pafs + more_pafs
    return Maps(heatmaps / len(inputs), pafs / len(inputs))
