"""Public checkpoints become our own: recognised by their keys, fitted entry by entry, written as safetensors."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from posemodel.errors import CheckpointError, SettingsError
from posemodel.network import PoseNetwork, build_network
from posemodel.network.backbones import read_vgg19_front
from posemodel.network.foreign_layouts import ForeignLayout, lightweight_layout, tensorboy_layout
from posemodel.network.input_format import IMAGENET, INPUT_FORMATS, InputFormat
from posemodel.network.state_files import StateFile, read_state
from posemodel.network.weights import CheckpointInfo, save_backbone, save_weights

LAYOUTS: dict[str, Callable[[Iterable[str]], ForeignLayout]] = {
    "tensorboy": tensorboy_layout,
    "lightweight": lightweight_layout,
}
"""Formats of whole networks: which layout a file's keys are of."""
BACKBONE_FORMAT = "torchvision-vgg19"
FORMATS = (*LAYOUTS, BACKBONE_FORMAT)
CHOOSABLE_INPUT = ("tensorboy",)
"""Formats whose files do not tell whether they were trained there or converted from Caffe."""
_COUNTER = "num_batches_tracked"
"""Batch norm's count of batches: files of before PyTorch 0.4.1 have none, and nothing here reads it."""


@dataclass(frozen=True)
class Imported:
    """What was read and where it went; ``network`` is None for a backbone."""

    format: str
    network: str | None
    parameters: int
    input_format: InputFormat
    out: Path

    @property
    def limbs_to_eyes(self) -> bool:
        """Whether two limbs were trained to lead from the shoulders to the eyes, ours being to the ears."""
        return self.format == "tensorboy" and self.input_format == IMAGENET

    def as_document(self) -> dict[str, Any]:
        """Itself as JSON: `format`, `network`, `parameters`, `input_format` (its name), `out`."""
        return {
            "format": self.format,
            "network": self.network,
            "parameters": self.parameters,
            "input_format": self.input_format.name,
            "out": str(self.out),
        }


def import_weights(path: Path, out: Path, *, file_format: str, input_format: str | None = None) -> Imported:
    """Read a public checkpoint and write it to ``out`` as `load_network` (or `--backbone-weights`) takes it.

    ``file_format``: one of `FORMATS`. ``input_format``: for tensorboy's, `imagenet` (the default: trained by that code)
    or `caffe` (converted from Caffe). ``out`` must not exist. Raises SettingsError, and CheckpointError where the file
    does not fit, naming the first entry that is missing, unexpected or of another shape.
    """
    if file_format not in FORMATS:
        raise SettingsError(f"--format {file_format}: there is no such format. There are: {', '.join(FORMATS)}.")
    if input_format is not None and file_format not in CHOOSABLE_INPUT:
        raise SettingsError(f"--input-format: {file_format} has but one; leave it out.")
    if input_format is not None and input_format not in INPUT_FORMATS:
        raise SettingsError(
            f"--input-format {input_format}: there is none such. There are: {', '.join(INPUT_FORMATS)}."
        )
    if out.exists():
        raise SettingsError(f"--out {out}: exists; it is not overwritten.")
    record = {"imported_from": path.name, "format": file_format}
    if file_format == BACKBONE_FORMAT:
        front = read_vgg19_front(path)
        save_backbone(out, front, record)
        parameters = sum(value.numel() for value in front.values())
        return Imported(file_format, None, parameters, IMAGENET, out)
    network, layout = foreign_network(read_state(path), file_format)
    if input_format is not None:
        network.input_format = INPUT_FORMATS[input_format]
    save_weights(out, network, CheckpointInfo(layout.network, network.default_size, record))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Imported(file_format, layout.network, parameters, network.input_format, out)


def foreign_network(state: StateFile, file_format: str) -> tuple[PoseNetwork, ForeignLayout]:
    """Our network with a foreign file's weights, in evaluation mode, and its layout; CheckpointError if they differ."""
    try:
        layout = LAYOUTS[file_format](state.tensors)
    except ValueError as error:
        first = state.named(next(iter(state.tensors)))
        other = next((name for name in LAYOUTS if name != file_format and _is_of(name, state.tensors)), None)
        hint = f"It looks like a {other} file: --format {other}." if other else f"Is it a {file_format} file?"
        raise CheckpointError(f"{state.path}: {error}; its first entry is {first}. {hint}") from error
    network = build_network(layout.network)
    own = network.state_dict()
    network.load_state_dict(_fitted(state, own, layout))
    network.input_format = layout.input_format
    return network.eval(), layout


def _is_of(file_format: str, keys: Iterable[str]) -> bool:
    try:
        LAYOUTS[file_format](keys)
    except ValueError:
        return False
    return True


def _fitted(state: StateFile, own: Mapping[str, torch.Tensor], layout: ForeignLayout) -> dict[str, torch.Tensor]:
    """The file's entries under our keys; CheckpointError names the first of each kind that does not fit."""
    foreign = {key: layout.foreign(key) for key in own}
    missing = [key for key in foreign.values() if key not in state.tensors and not key.endswith(_COUNTER)]
    known = set(foreign.values())
    unexpected = [key for key in state.tensors if key not in known]
    found = {key: state.tensors.get(theirs, own[key]) for key, theirs in foreign.items()}
    misshapen = [key for key, value in found.items() if value.shape != own[key].shape]
    faults = []
    if missing:
        faults.append(f"{state.named(missing[0])} is missing{_others(missing)}")
    if unexpected:
        faults.append(f"{state.named(unexpected[0])} is unexpected{_others(unexpected)}")
    if misshapen:
        key = misshapen[0]
        shapes = f"is {tuple(found[key].shape)}, not {tuple(own[key].shape)}"
        faults.append(f"{state.named(foreign[key])} {shapes}{_others(misshapen)}")
    if faults:
        raise CheckpointError(f"{state.path}: does not fit {layout.network}: {'; '.join(faults)}.")
    broken = [key for key, value in found.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise CheckpointError(f"{state.path}: {state.named(foreign[broken[0]])} has NaN or infinite values.")
    return found


def _others(keys: list[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
