"""Heatmaps and Part Affinity Fields -> people: peaks, limb scores, and the grouping of peaks into people.

Source: Cao et al., CVPR 2017, section 2.4. The exact inverse of ``posemodel.data.targets``: a peak at cell c lies at
input pixel (c + 0.5) * stride - 0.5. Finding the candidate limbs exists twice, with equal results: ``with_numpy`` for
maps in the CPU's memory, ``with_torch`` for maps on a GPU. Grouping them into people is the CPU's work.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from posemodel import skeleton
from posemodel.config import InputSettings
from posemodel.data.targets import sigma_cells
from posemodel.inference.decoder import with_numpy, with_torch
from posemodel.inference.decoder.candidates import DecodeSettings
from posemodel.inference.decoder.grouping import Detections, group

__all__ = ["DecodeSettings", "Detections", "decode", "decode_batch"]


def decode(
    heatmaps: NDArray[np.floating],
    pafs: NDArray[np.floating],
    geometry: InputSettings,
    settings: DecodeSettings = DecodeSettings(),  # noqa: B008 (frozen)
) -> Detections:
    """Maps (19, C, C) and (38, C, C) of one image, without NaN, -> its people."""
    parts = np.asarray(heatmaps)[None, : skeleton.NUM_PARTS]
    found = with_numpy.find_candidates(parts, np.asarray(pafs)[None], sigma_cells(geometry), settings)
    return group(found, 1, geometry.stride)[0]


def decode_batch(
    heatmaps: torch.Tensor,
    pafs: torch.Tensor,
    geometry: InputSettings,
    settings: DecodeSettings = DecodeSettings(),  # noqa: B008 (frozen)
) -> list[Detections]:
    """Maps (B, 19, C, C) and (B, 38, C, C) of any float type -> the people of each of the B images.

    An image whose maps hold a NaN or an infinity (its network diverged) has nobody. Maps on a CUDA device stay there:
    only the peaks and the limbs that could be are copied to the CPU. Other devices' maps are copied whole.
    """
    heatmaps, pafs = heatmaps.detach().float(), pafs.detach().float()
    finite = _finite(heatmaps) & _finite(pafs)
    usable = finite.nonzero().flatten()
    detections = [Detections(np.zeros((0, skeleton.NUM_PARTS, 3)), np.zeros(0))] * len(finite)
    if not len(usable):
        return detections
    if len(usable) < len(finite):
        heatmaps, pafs = heatmaps[usable], pafs[usable]
    parts, sigma = heatmaps[:, : skeleton.NUM_PARTS], sigma_cells(geometry)
    if parts.is_cuda:
        found = with_torch.find_candidates(parts, pafs, sigma, settings)
    else:
        found = with_numpy.find_candidates(parts.cpu().numpy(), pafs.cpu().numpy(), sigma, settings)
    for image, people in zip(usable.tolist(), group(found, len(usable), geometry.stride), strict=True):
        detections[image] = people
    return detections


def _finite(maps: torch.Tensor) -> torch.Tensor:
    """Which (B,) of (B, ...) hold neither NaN nor infinity: a NaN is both the smallest and the largest value."""
    flat = maps.flatten(1)
    return flat.amin(1).isfinite() & flat.amax(1).isfinite()
