"""Decode heatmaps and Part Affinity Fields into people: peaks, limb scores, grouping of peaks.

Source: Cao et al., CVPR 2017, section 2.4. The exact inverse of `posemodel.data.targets`: a peak at cell c lies at
input pixel (c + 0.5) * stride - 0.5. Peaks and limbs are computed by `with_numpy` for maps in the CPU's memory and by
`with_torch` for maps on a GPU, with equal results (tests/posemodel/test_decode.py); grouping runs on the CPU.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from posemodel.config import InputSettings
from posemodel.data.targets import sigma_cells
from posemodel.inference.decoder import with_numpy, with_torch
from posemodel.inference.decoder.candidates import DecodeSettings
from posemodel.inference.decoder.grouping import Detections, group
from posemodel.skeleton import COCO_PERSON, Skeleton

__all__ = ["DecodeSettings", "Detections", "decode", "decode_batch"]


def decode(
    heatmaps: NDArray[np.floating],
    pafs: NDArray[np.floating],
    geometry: InputSettings,
    settings: DecodeSettings = DecodeSettings(),  # noqa: B008 (frozen)
    *,
    skeleton: Skeleton = COCO_PERSON,
) -> Detections:
    """Decode the maps (P + 1, C, C) and (2L, C, C) of one image, without NaN, into its people.

    Raises ValueError if the maps are not those of the skeleton.
    """
    heatmaps, pafs = np.asarray(heatmaps)[None], np.asarray(pafs)[None]
    _check(heatmaps.shape, pafs.shape, skeleton)
    candidates = with_numpy.find_candidates(heatmaps[:, :-1], pafs, sigma_cells(geometry), settings, skeleton)
    return group(candidates, 1, geometry.stride)[0]


def decode_batch(
    heatmaps: torch.Tensor,
    pafs: torch.Tensor,
    geometry: InputSettings,
    settings: DecodeSettings = DecodeSettings(),  # noqa: B008 (frozen)
    *,
    skeleton: Skeleton = COCO_PERSON,
) -> list[Detections]:
    """Decode maps (B, P + 1, C, C) and (B, 2L, C, C) of any float type into the people of each of the B images.

    An image whose maps hold a NaN or an infinity (from a diverged network) has no people. Maps on a CUDA device stay
    there: only peaks and candidate limbs are copied to the CPU. Maps on other devices are copied.
    Raises ValueError if the maps are not those of the skeleton.
    """
    _check(heatmaps.shape, pafs.shape, skeleton)
    heatmaps, pafs = heatmaps.detach().float(), pafs.detach().float()
    finite = _finite(heatmaps)
    if skeleton.limbs:
        finite &= _finite(pafs)
    usable = finite.nonzero().flatten()
    detections = [Detections(np.zeros((0, skeleton.num_parts, 3)), np.zeros(0))] * len(finite)
    if not len(usable):
        return detections
    if len(usable) < len(finite):
        heatmaps, pafs = heatmaps[usable], pafs[usable]
    parts, sigma = heatmaps[:, :-1], sigma_cells(geometry)
    if parts.is_cuda:
        candidates = with_torch.find_candidates(parts, pafs, sigma, settings, skeleton)
    else:
        maps = parts.cpu().numpy(), pafs.cpu().numpy()
        candidates = with_numpy.find_candidates(*maps, sigma, settings, skeleton)
    for image, people in zip(usable.tolist(), group(candidates, len(usable), geometry.stride), strict=True):
        detections[image] = people
    return detections


def _check(heatmaps: tuple[int, ...], pafs: tuple[int, ...], skeleton: Skeleton) -> None:
    """Raise ValueError if maps of these shapes (B, channels, C, C) are not those of the skeleton."""
    if (heatmaps[1], pafs[1]) != (skeleton.num_heatmaps, skeleton.num_pafs):
        raise ValueError(
            f"{heatmaps[1]} heatmaps and {pafs[1]} PAF channels are not those of the skeleton {skeleton.name!r}, which "
            f"has {skeleton.num_heatmaps} and {skeleton.num_pafs}: give the skeleton that the maps were made for"
        )


def _finite(maps: torch.Tensor) -> torch.Tensor:
    """Return which of the B maps (B, ...) are finite; the extremes suffice, because both of a NaN's are NaN."""
    flat = maps.flatten(1)
    return flat.amin(1).isfinite() & flat.amax(1).isfinite()
