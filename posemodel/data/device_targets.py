"""Make the target maps of `targets` for a whole batch on the network's device, in PyTorch.

A GPU computes dense maps by the same definitions faster than workers can, and only the people are transferred. A
property test compares both modules with a plain reference (tests/posemodel/test_targets.py).
"""

import functools

import torch

from posemodel.config import InputSettings
from posemodel.data.targets import REACH, sigma_cells, to_cells
from posemodel.skeleton import Skeleton


def make_targets(
    people: torch.Tensor, geometry: InputSettings, skeleton: Skeleton
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn people (B, N, P, 3) in input pixels into heatmaps (B, P + 1, C, C) and PAFs (B, 2L, C, C), float16.

    The maps are on the people's device. Rows of ``people`` without a labelled part are padding: images of a batch have
    different numbers of people.
    """
    # float32 would move cells across a limb's border; Apple's GPUs have no wider type.
    exact = torch.float32 if people.device.type == "mps" else torch.float64
    labelled = people[..., 2] > 0
    centres = to_cells(people[..., :2].to(exact), geometry.stride)
    return (
        _heatmaps(centres, labelled, geometry.cells, sigma_cells(geometry)),
        _pafs(centres, labelled, geometry.cells, skeleton),
    )


def _heatmaps(centres: torch.Tensor, labelled: torch.Tensor, cells: int, sigma: float) -> torch.Tensor:
    grid = torch.arange(cells, device=centres.device, dtype=centres.dtype)
    offsets = grid - centres[..., None]
    gaussians = torch.exp(-0.5 / sigma**2 * offsets * offsets).float() * labelled[..., None, None]
    across, down = gaussians.unbind(dim=3)
    maps = across.new_zeros((len(centres), centres.shape[2] + 1, cells, cells))
    parts = maps[:, :-1]
    for person in range(centres.shape[1]):  # all at once would need a full map per person
        torch.maximum(parts, down[:, person, :, :, None] * across[:, person, :, None, :], out=parts)
    maps[:, -1] = 1 - parts.amax(dim=1)
    return maps.half()


@functools.cache
def _limb_ends(skeleton: Skeleton, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    # Cached, because a copy to a GPU waits for all work queued before it.
    with torch.inference_mode(False):
        return torch.as_tensor(skeleton.limb_from, device=device), torch.as_tensor(skeleton.limb_to, device=device)


def _pafs(centres: torch.Tensor, labelled: torch.Tensor, cells: int, skeleton: Skeleton) -> torch.Tensor:
    limb_from, limb_to = _limb_ends(skeleton, centres.device)
    start, along = centres[:, :, limb_from], centres[:, :, limb_to] - centres[:, :, limb_from]
    length = torch.linalg.vector_norm(along, dim=-1, keepdim=True)
    drawn = labelled[:, :, limb_from] & labelled[:, :, limb_to] & (length[..., 0] > 0)
    unit = along / length.clamp_min(torch.finfo(length.dtype).tiny)
    grid = torch.arange(cells, device=centres.device, dtype=centres.dtype)
    shape = (len(centres), skeleton.num_limbs, cells, cells)
    sums = centres.new_zeros((*shape[:2], 2, *shape[2:]))
    count = centres.new_zeros(shape)
    for person in range(centres.shape[1]):
        unit_x, unit_y = (unit[:, person, :, axis, None, None] for axis in (0, 1))
        x = grid - start[:, person, :, 0, None, None]
        y = grid[:, None] - start[:, person, :, 1, None, None]
        nearest = (x * unit_x + y * unit_y).clamp_min(0).minimum(length[:, person, :, :, None])
        inside = (x - nearest * unit_x).square() + (y - nearest * unit_y).square() <= REACH * REACH
        inside = (inside & drawn[:, person, :, None, None]).to(count.dtype)
        count += inside
        sums[:, :, 0] += inside * unit_x
        sums[:, :, 1] += inside * unit_y
    fields = sums / count.clamp_min(1)[:, :, None]
    return fields.reshape(len(centres), skeleton.num_pafs, cells, cells).half()
