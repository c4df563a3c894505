"""OpenPose-style pose networks (heatmaps and Part Affinity Fields): data, training, decoding and COCO scoring.

In: settings, and data sets in COCO's layout. Out: trained networks, people with their keypoints, and COCO scores. The
package does not depend on ``bench`` (the studies that compare trainings) and can be used alone. The names in
``__all__`` are imported from their modules on first use, so that ``import posemodel`` itself takes no time.

Example:
    from posemodel import TrainSettings, build_network, evaluate, predict, train
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posemodel.config import AugmentSettings, DataFiles, InputSettings, LoaderSettings, TrainSettings
    from posemodel.data.layout import DataSet
    from posemodel.data.open_split import PackedSplit, open_split
    from posemodel.errors import CheckpointError, DataError, PosemodelError, ProcessError, SettingsError
    from posemodel.inference.decoder import DecodeSettings, Detections, decode_batch
    from posemodel.inference.drawing import draw_people, draw_to_scale
    from posemodel.inference.prediction import iter_predictions, predict
    from posemodel.network import NETWORKS, Maps, PoseNetwork, build_network
    from posemodel.network.weights import CheckpointInfo, load_network, save_weights
    from posemodel.recipes import Recipe, load_recipe
    from posemodel.scoring.evaluation import evaluate
    from posemodel.scoring.scorer import Scores
    from posemodel.skeleton import Skeleton
    from posemodel.synthetic import generate
    from posemodel.training.loop import train
    from posemodel.training.run import TrainResult

__version__ = "0.2.0"

__all__ = [
    "NETWORKS",
    "AugmentSettings",
    "CheckpointError",
    "CheckpointInfo",
    "DataError",
    "DataFiles",
    "DataSet",
    "DecodeSettings",
    "Detections",
    "InputSettings",
    "LoaderSettings",
    "Maps",
    "PackedSplit",
    "PoseNetwork",
    "PosemodelError",
    "ProcessError",
    "Recipe",
    "Scores",
    "SettingsError",
    "Skeleton",
    "TrainResult",
    "TrainSettings",
    "build_network",
    "decode_batch",
    "draw_people",
    "draw_to_scale",
    "evaluate",
    "generate",
    "iter_predictions",
    "load_network",
    "load_recipe",
    "open_split",
    "predict",
    "save_weights",
    "train",
]

_MODULE_OF = {
    "AugmentSettings": "config",
    "DataFiles": "config",
    "InputSettings": "config",
    "LoaderSettings": "config",
    "TrainSettings": "config",
    "PackedSplit": "data.open_split",
    "open_split": "data.open_split",
    "DataSet": "data.layout",
    "generate": "synthetic",
    "DecodeSettings": "inference.decoder",
    "Detections": "inference.decoder",
    "decode_batch": "inference.decoder",
    "draw_people": "inference.drawing",
    "draw_to_scale": "inference.drawing",
    "CheckpointError": "errors",
    "DataError": "errors",
    "PosemodelError": "errors",
    "ProcessError": "errors",
    "SettingsError": "errors",
    "Scores": "scoring.scorer",
    "Skeleton": "skeleton",
    "NETWORKS": "network",
    "Maps": "network",
    "PoseNetwork": "network",
    "build_network": "network",
    "CheckpointInfo": "network.weights",
    "load_network": "network.weights",
    "save_weights": "network.weights",
    "iter_predictions": "inference.prediction",
    "predict": "inference.prediction",
    "evaluate": "scoring.evaluation",
    "Recipe": "recipes",
    "load_recipe": "recipes",
    "TrainResult": "training.run",
    "train": "training.loop",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
