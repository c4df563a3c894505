"""Pixel formats of network inputs: order of the channels, mean and standard deviation."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

ChannelOrder = Literal["RGB", "BGR"]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""RGB mean of ImageNet on a scale of 0 to 1, as torchvision's weights expect."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""RGB standard deviation of ImageNet on a scale of 0 to 1, as torchvision's weights expect."""


@dataclass(frozen=True)
class InputFormat:
    """Normalization of pixels from 0 to 255: ``(pixel - mean) / std``, with both in the order of ``channels``."""

    name: str
    channels: ChannelOrder
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def as_document(self) -> dict[str, Any]:
        """Return the format as JSON values, for the metadata of a checkpoint."""
        return asdict(self)


def format_from_document(document: Any) -> InputFormat:
    """Return the format from the JSON values that `as_document` wrote; ValueError says what is wrong with them."""
    if not isinstance(document, dict) or set(document) != {"name", "channels", "mean", "std"}:
        raise ValueError(f"an input format has a name, channels, a mean and a std, not {document!r}")
    if not isinstance(document["name"], str) or document["channels"] not in get_args(ChannelOrder):
        raise ValueError(f"channels must be {' or '.join(get_args(ChannelOrder))}, got {document['channels']!r}")
    for field in ("mean", "std"):
        values = document[field]
        if not isinstance(values, list | tuple) or len(values) != 3:
            raise ValueError(f"{field} must hold three numbers, got {values!r}")
        if any(isinstance(v, bool) or not isinstance(v, int | float) or not abs(v) < float("inf") for v in values):
            raise ValueError(f"{field} must hold three numbers, got {values!r}")
    if min(document["std"]) <= 0:
        raise ValueError(f"std must be above zero, got {document['std']!r}")
    return InputFormat(document["name"], document["channels"], _triple(document["mean"]), _triple(document["std"]))


def _triple(values: Iterable[float]) -> tuple[float, float, float]:
    first, second, third = values
    return float(first), float(second), float(third)


IMAGENET = InputFormat(
    "imagenet",
    "RGB",
    _triple(255 * value for value in IMAGENET_MEAN),
    _triple(255 * value for value in IMAGENET_STD),
)
"""RGB with ImageNet's statistics, for networks trained by this project or by tensorboy's code (see ``import_weights``).
"""
CAFFE = InputFormat("caffe", "BGR", (128.0,) * 3, (256.0,) * 3)
"""BGR with (pixel - 128) / 256, for OpenPose's Caffe models and for Lightweight OpenPose."""

INPUT_FORMATS: dict[str, InputFormat] = {each.name: each for each in (IMAGENET, CAFFE)}
"""Input formats by name."""
