"""The OpenPose-style network (heatmaps and Part Affinity Fields), its data, training, decoding and COCO scoring.

As a library: ``from posemodel import build_network, train, predict, evaluate``. What is named in ``__all__`` is
imported from its module when it is first asked for, so that ``import posemodel`` itself takes no time.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posemodel.config import AugmentSettings, DataFiles, InputSettings, LoaderSettings, TrainSettings
    from posemodel.data.coco import PackedSplit, open_split
    from posemodel.data.layout import DataSet
    from posemodel.data.synthetic import generate
    from posemodel.decode import DecodeSettings, Detections, decode_batch
    from posemodel.draw import draw_people, draw_to_scale
    from posemodel.errors import CheckpointError, DataError, PosemodelError, ProcessError, SettingsError
    from posemodel.evaluation import Scores
    from posemodel.network import NETWORKS, Maps, PoseNetwork, build_network
    from posemodel.network.weights import CheckpointInfo, load_network, save_weights
    from posemodel.picture_prediction import iter_predictions, predict
    from posemodel.prediction import evaluate
    from posemodel.recipes import Recipe, load_recipe
    from posemodel.training import TrainResult, train

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
    "PackedSplit": "data.coco",
    "open_split": "data.coco",
    "DataSet": "data.layout",
    "generate": "data.synthetic",
    "DecodeSettings": "decode",
    "Detections": "decode",
    "decode_batch": "decode",
    "draw_people": "draw",
    "draw_to_scale": "draw",
    "CheckpointError": "errors",
    "DataError": "errors",
    "PosemodelError": "errors",
    "ProcessError": "errors",
    "SettingsError": "errors",
    "Scores": "evaluation",
    "NETWORKS": "network",
    "Maps": "network",
    "PoseNetwork": "network",
    "build_network": "network",
    "CheckpointInfo": "network.weights",
    "load_network": "network.weights",
    "save_weights": "network.weights",
    "iter_predictions": "picture_prediction",
    "predict": "picture_prediction",
    "evaluate": "prediction",
    "Recipe": "recipes",
    "load_recipe": "recipes",
    "TrainResult": "training",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
