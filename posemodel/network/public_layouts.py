"""Key names of public checkpoints: for each of our networks, our key prefixes beside theirs.

Sources: the networks `rtpose_vgg` and `openpose` of the public PyTorch reimplementation
tensorboy/pytorch_Realtime_Multi-Person_Pose_Estimation (`tensorboy` for short), and those of
Daniil-Osokin/lightweight-human-pose-estimation.pytorch. Both order parts and PAF channels as we do; but limbs 9 and 13
lead from a shoulder to the eye in the tensorboy code's targets, and to the ear in ours and Caffe's.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from posemodel.network import openpose_2019, rtpose_vgg
from posemodel.network.input_format import CAFFE, IMAGENET, InputFormat


@dataclass(frozen=True)
class PublicLayout:
    """Correspondence of one of our networks to a public implementation's state dict."""

    network: str
    """Name of our network."""
    input_format: InputFormat
    """Pixel format that such a checkpoint was trained on, unless the user states another."""
    prefixes: Mapping[str, str]
    """Their key prefix for each of ours; longer prefixes come before shorter ones that they begin with."""

    def public_key(self, key: str) -> str:
        """Return their key for one of ours."""
        own_prefix = next(prefix for prefix in self.prefixes if key.startswith(prefix))
        return self.prefixes[own_prefix] + key.removeprefix(own_prefix)


def _rtpose_vgg() -> dict[str, str]:
    prefixes = {"backbone.": "model0.", "adapt.0.": "model0.23.", "adapt.2.": "model0.25."}
    for stage in range(rtpose_vgg.STAGES):
        prefixes[f"paf_branches.{stage}."] = f"model{stage + 1}_1."
        prefixes[f"heatmap_branches.{stage}."] = f"model{stage + 1}_2."
    return prefixes


def _openpose_2019() -> dict[str, str]:
    prefixes = {"backbone.": "feature_extractor."}
    prefixes |= {f"adapt.{number}.": f"feature_extractor.{22 + number}." for number in range(5)}
    blocks = openpose_2019.BLOCKS
    for ours, theirs, stages in (
        ("paf_stages", "l2_stages", openpose_2019.PAF_STAGES),
        ("heatmap_stages", "l1_stages", openpose_2019.HEATMAP_STAGES),
    ):
        for stage in range(stages):
            own, foreign = f"{ours}.{stage}", f"{theirs}.{stage}"
            units = {f"{block}.{unit}": f"Mconv{block + 1}_{unit}" for block in range(blocks) for unit in range(3)}
            for own_unit, foreign_unit in (units | {str(blocks): f"Mconv{blocks + 1}"}).items():
                prefixes[f"{own}.{own_unit}.0."] = f"{foreign}.{foreign_unit}.Mconv."
                prefixes[f"{own}.{own_unit}.1."] = f"{foreign}.{foreign_unit}.MPrelu."
            prefixes[f"{own}.{blocks + 1}."] = f"{foreign}.Mconv{blocks + 2}."
    return prefixes


def _lightweight(refinements: int) -> dict[str, str]:
    prefixes = {"backbone.": "model.", "adapt.merge.": "cpm.conv.", "adapt.": "cpm."}
    stages = ["initial_stage", *(f"refinement_stages.{number}" for number in range(refinements))]
    for stage in stages:
        for maps in ("heatmaps", "pafs"):
            prefixes |= {f"{stage}.{maps}.0.": f"{stage}.{maps}.0.0.", f"{stage}.{maps}.2.": f"{stage}.{maps}.1.0."}
        prefixes[f"{stage}."] = f"{stage}."
    return prefixes


RTPOSE_VGG = PublicLayout("rtpose_vgg", IMAGENET, _rtpose_vgg())
OPENPOSE_2019 = PublicLayout("openpose_2019", IMAGENET, _openpose_2019())
LIGHTWEIGHT = {
    number: PublicLayout(name, CAFFE, _lightweight(number))
    for number, name in enumerate(("lightweight", "lightweight_2", "lightweight_3"), start=1)
}
"""Layouts of the lightweight networks by their number of refinement stages."""


def tensorboy_layout(keys: Iterable[str]) -> PublicLayout:
    """Return the layout of the tensorboy network that has these keys; ValueError if neither of the two has."""
    keys = list(keys)
    if any(key.startswith("feature_extractor.") for key in keys):
        return OPENPOSE_2019
    if any(key.startswith("model0.") for key in keys):
        return RTPOSE_VGG
    raise ValueError("has neither model0.* (rtpose_vgg) nor feature_extractor.* (openpose)")


def lightweight_layout(keys: Iterable[str]) -> PublicLayout:
    """Return the layout with as many refinement stages as the keys have; ValueError if there is none."""
    keys = list(keys)
    if not any(key.startswith(("initial_stage.", "cpm.")) for key in keys):
        raise ValueError("has no initial_stage.* and no cpm.*")
    numbers = (re.match(r"refinement_stages\.(\d+)\.", key) for key in keys)
    refinements = max((int(number[1]) + 1 for number in numbers if number), default=0)
    if refinements not in LIGHTWEIGHT:
        raise ValueError(
            f"has {refinements} refinement stages; networks with {min(LIGHTWEIGHT)} to {max(LIGHTWEIGHT)} are known"
        )
    return LIGHTWEIGHT[refinements]
