"""Conversion of public checkpoints into this project's, saved as safetensors; each entry's name and shape are checked.

A format names a program whose files can be imported; `tensorboy` is the public PyTorch reimplementation
tensorboy/pytorch_Realtime_Multi-Person_Pose_Estimation. A layout lists the key names of one network in a format.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from posemodel.errors import CheckpointError, SettingsError
from posemodel.network import PoseNetwork, build_network
from posemodel.network.backbones import read_vgg19_front
from posemodel.network.input_format import IMAGENET, INPUT_FORMATS, InputFormat
from posemodel.network.public_layouts import PublicLayout, lightweight_layout, tensorboy_layout
from posemodel.network.state_files import StateFile, read_state
from posemodel.network.weights import CheckpointInfo, save_backbone, save_weights

LAYOUTS: dict[str, Callable[[Iterable[str]], PublicLayout]] = {
    "tensorboy": tensorboy_layout,
    "lightweight": lightweight_layout,
}
"""Format of a complete network -> function that recognizes the layout from a file's keys."""
BACKBONE_FORMAT = "torchvision-vgg19"
"""Format of a file that holds a backbone alone."""
FORMATS = (*LAYOUTS, BACKBONE_FORMAT)
"""Values of ``file_format``."""
CHOOSABLE_INPUT = ("tensorboy",)
"""Formats whose files do not show their pixel format: trained by tensorboy's code (RGB) or converted from Caffe (BGR).
"""
_COUNTER = "num_batches_tracked"
"""Last part of the key of batch norm's batch counter. It is not used, and files older than PyTorch 0.4.1 lack it."""


@dataclass(frozen=True)
class ImportedWeights:
    """Result of an import: the format and network that were recognized, and the file that was written."""

    format: str
    """Format of the file that was read, one of ``FORMATS``."""
    network: str | None
    """Name of our network; None for a backbone."""
    parameters: int
    """Number of parameters that were written."""
    input_format: InputFormat
    """Pixel format that the weights expect."""
    out: Path
    """File that was written."""

    @property
    def limbs_to_eyes(self) -> bool:
        """Whether two limbs were trained to lead from the shoulders to the eyes (ours lead to the ears)."""
        return self.format == "tensorboy" and self.input_format == IMAGENET

    def as_document(self) -> dict[str, Any]:
        """Return the result as JSON values: `format`, `network`, `parameters`, `input_format` (its name), `out`."""
        return {
            "format": self.format,
            "network": self.network,
            "parameters": self.parameters,
            "input_format": self.input_format.name,
            "out": str(self.out),
        }


def import_weights(path: Path, out: Path, *, file_format: str, input_format: str | None = None) -> ImportedWeights:
    """Convert a public checkpoint into a file for `load_network` or, if it is a backbone, for `--backbone-weights`.

    Args:
        path: The public checkpoint, a PyTorch or safetensors file.
        out: The file to write; it must not exist.
        file_format: One of `FORMATS`.
        input_format: For tensorboy: `imagenet` (the default; weights trained by tensorboy's code) or `caffe` (converted
            from Caffe).

    Raises:
        CheckpointError: The file does not fit; the message names the first entry that is missing, unexpected or of
            another shape.
        SettingsError: An argument is not valid, or ``out`` exists.
    """
    if file_format not in FORMATS:
        raise SettingsError(f"--format {file_format}: there is no such format. There are: {', '.join(FORMATS)}.")
    if input_format is not None and file_format not in CHOOSABLE_INPUT:
        raise SettingsError(f"--input-format: {file_format} has only one; leave it out.")
    if input_format is not None and input_format not in INPUT_FORMATS:
        raise SettingsError(
            f"--input-format {input_format}: there is no such format. There are: {', '.join(INPUT_FORMATS)}."
        )
    if out.exists():
        raise SettingsError(f"--out {out}: exists; it is not overwritten. Give another name.")
    record = {"imported_from": path.name, "format": file_format}
    if file_format == BACKBONE_FORMAT:
        front = read_vgg19_front(path)
        save_backbone(out, front, record)
        parameters = sum(value.numel() for value in front.values())
        return ImportedWeights(file_format, None, parameters, IMAGENET, out)
    network, layout = convert_public_network(read_state(path), file_format)
    if input_format is not None:
        network.input_format = INPUT_FORMATS[input_format]
    save_weights(out, network, CheckpointInfo(layout.network, network.default_size, record))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return ImportedWeights(file_format, layout.network, parameters, network.input_format, out)


def convert_public_network(state: StateFile, file_format: str) -> tuple[PoseNetwork, PublicLayout]:
    """Return our network with a public file's weights, in evaluation mode, and the layout.

    Raises CheckpointError if the file does not match.
    """
    try:
        layout = LAYOUTS[file_format](state.tensors)
    except ValueError as error:
        first = state.original_key(next(iter(state.tensors)))
        other = next((name for name in LAYOUTS if name != file_format and _has_format(name, state.tensors)), None)
        hint = f"It looks like a {other} file: --format {other}." if other else f"Is it a {file_format} file?"
        raise CheckpointError(f"{state.path}: {error}; its first entry is {first}. {hint}") from error
    network = build_network(layout.network)
    own = network.state_dict()
    network.load_state_dict(_fitted(state, own, layout))
    network.input_format = layout.input_format
    return network.eval(), layout


def _has_format(file_format: str, keys: Iterable[str]) -> bool:
    try:
        LAYOUTS[file_format](keys)
    except ValueError:
        return False
    return True


def _fitted(state: StateFile, own: Mapping[str, torch.Tensor], layout: PublicLayout) -> dict[str, torch.Tensor]:
    """Return the file's entries, renamed to our keys and with their shapes checked.

    The CheckpointError for a bad file names the first entry of each kind of problem.
    """
    foreign = {key: layout.public_key(key) for key in own}
    missing = [key for key in foreign.values() if key not in state.tensors and not key.endswith(_COUNTER)]
    known = set(foreign.values())
    unexpected = [key for key in state.tensors if key not in known]
    fitted = {key: state.tensors.get(theirs, own[key]) for key, theirs in foreign.items()}
    misshapen = [key for key, value in fitted.items() if value.shape != own[key].shape]
    problems = []
    if missing:
        problems.append(f"{state.original_key(missing[0])} is missing{_and_more(missing)}")
    if unexpected:
        problems.append(f"{state.original_key(unexpected[0])} is unexpected{_and_more(unexpected)}")
    if misshapen:
        key = misshapen[0]
        shapes = f"is {tuple(fitted[key].shape)}, not {tuple(own[key].shape)}"
        problems.append(f"{state.original_key(foreign[key])} {shapes}{_and_more(misshapen)}")
    if problems:
        raise CheckpointError(f"{state.path}: does not fit {layout.network}: {'; '.join(problems)}.")
    broken = [key for key, value in fitted.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise CheckpointError(f"{state.path}: {state.original_key(foreign[broken[0]])} has NaN or infinite values.")
    return fitted


def _and_more(keys: list[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
