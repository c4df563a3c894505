"""Identity of a study or trial: its settings without those added after the first version that have their defaults.

A setting added later therefore changes no id and no begun study: at its default it is left out.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

ID_CHARACTERS = 16

FIRST_SETTINGS: Mapping[str, Collection[str]] = {
    "TrialSpec": (
        "phase", "index", "optimizer", "built_by", "control_of", "hyperparameters", "at_border", "weight_decay",
        "data_digest", "slot", "train",
    ),
    "TrainSettings": (
        "data", "train_split", "val_split", "labelled_only", "hold_out_select", "skip_bad", "network", "size",
        "backbone_weights", "frozen_backbone_epochs", "steps", "epochs", "seconds", "schedule", "warmup",
        "foreground_weight", "targets", "precision", "augment", "loader", "seed", "device", "log_every", "val_every",
        "ap_every", "evaluations", "checkpoint_every", "time_limit",
    ),
    "AugmentSettings": (
        "enabled", "flip", "scale_min", "scale_max", "rotation", "shift", "brightness", "contrast",
    ),
    "LoaderSettings": (
        "batch_size", "num_workers", "pin_memory", "prefetch_factor", "persistent_workers", "start_method",
    ),
    "GroupSettings": (
        "later_stage_lr", "bias_lr", "bias_weight_decay", "norm_weight_decay", "depthwise_weight_decay",
    ),
    "PlateauSettings": ("patience", "cooldown", "threshold"),
    "StudySpec": (
        "kind", "name", "preset", "data", "data_digest", "skip_bad", "network", "size", "optimizers", "spaces",
        "tunings", "trials", "seeds", "tune_steps", "steps", "tune_seconds", "seconds", "evaluations", "pruner",
        "tune_evaluations", "controls", "batch_size", "num_workers", "pin_memory", "schedule", "weight_decay",
        "foreground_weight", "precision", "augment", "device", "trial_time_limit", "plan_seed",
    ),
    "JointSpec": (
        "kind", "name", "preset", "data", "data_digest", "skip_bad", "network", "size", "device", "objective",
        "sampler", "optimizers", "spaces", "num_workers", "pin_memory", "batch_size", "fixed", "trials",
        "startup_trials", "images", "seconds", "seeds", "schedule", "weight_decay", "foreground_weight", "precision",
        "augment", "trial_time_limit", "seed",
    ),
    "LoaderSpec": (
        "kind", "name", "preset", "data", "data_digest", "dataset", "step", "collate", "step_ms", "network", "size",
        "split", "targets", "device", "num_workers", "batch_size", "pin_memory", "prefetch_factor",
        "persistent_workers", "start_method", "cv2_threads", "slice_s", "turns", "min_blocks", "blocks", "interval",
        "margin", "hashed_batches", "largest_batch", "largest_batch_limit", "stall_s", "seed",
    ),
    "NetworksSpec": (
        "kind", "name", "preset", "data", "data_digest", "device", "networks", "precisions", "size", "batch_size",
        "num_workers", "seconds", "evaluations", "scored_images", "foreground_weight", "seed",
    ),
    "LoaderConfiguration": (
        "batch_size", "num_workers", "pin_memory", "prefetch_factor", "persistent_workers", "start_method",
        "cv2_threads",
    ),
}  # fmt: skip
"""Settings of each model in the version that first computed its ids. Never add later settings here: they are left out
of ids at their defaults, so their defaults must never change. For a model that is not listed (a workload's own), all
settings count."""


SETTINGS_BEFORE_JOINT = (
    "weights", "accumulate", "milestones", "gamma", "plateau", "loss_reduction", "groups", "ema_decay",
)  # fmt: skip
"""Settings of a training run added after the first optimizers studies and before the first joint studies."""
EARLIER_ID_SETTINGS = ((), SETTINGS_BEFORE_JOINT, (*SETTINGS_BEFORE_JOINT, "val_images"))
"""Sets of later training settings that ids of earlier versions included even at their defaults, one per version."""


def identifying(model: BaseModel, *, exclude: Collection[str] = (), counted: Collection[str] = ()) -> dict[str, Any]:
    """Return the identifying settings of a model as plain data, recursively for models in its fields.

    ``counted``: later settings of the outer model to include even at their defaults.
    """
    values = {name: getattr(model, name) for name in type(model).model_fields if name not in exclude}
    return {
        name: identifying(value) if isinstance(value, BaseModel) else to_jsonable_python(value)
        for name, value in values.items()
        if name in counted or not _unused(type(model), name, value)
    }


def without_unused(model: type[BaseModel], document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's stored document without the later settings that have their defaults."""
    return {name: value for name, value in document.items() if not _unused(model, name, value)}


def _unused(model: type[BaseModel], name: str, value: Any) -> bool:
    """Return True if a setting was added later and has its default."""
    first = FIRST_SETTINGS.get(model.__name__)
    return first is not None and name not in first and bool(value in _defaults(model, name))


@cache
def _defaults(model: type[BaseModel], name: str) -> tuple[Any, ...]:
    """Return a setting's default as it is and as plain data; nothing if it has none."""
    field = model.model_fields.get(name)
    if field is None or field.is_required():
        return ()
    default = field.get_default(call_default_factory=True)
    return default, to_jsonable_python(default)


def digest(content: Mapping[str, Any]) -> str:
    """Return an id of `ID_CHARACTERS` hexadecimal characters from plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:ID_CHARACTERS]
