"""What a network's first convolution expects of an image: the order of its channels and their scale."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

ChannelOrder = Literal["RGB", "BGR"]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""RGB statistics of ImageNet on a scale of 0 to 1, as torchvision's weights expect."""


@dataclass(frozen=True)
class InputFormat:
    """``(pixel - mean) / std`` of pixels 0..255; ``mean`` and ``std`` are in the order of ``channels``."""

    name: str
    channels: ChannelOrder
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def as_document(self) -> dict[str, Any]:
        """Itself as JSON, for the metadata of a checkpoint."""
        return asdict(self)


def format_from_document(document: Any) -> InputFormat:
    """The format that `as_document` wrote; ValueError says what is wrong with it."""
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
    mean, std = (tuple(float(value) for value in document[field]) for field in ("mean", "std"))
    return InputFormat(document["name"], document["channels"], mean, std)  # type: ignore[arg-type]


IMAGENET = InputFormat(
    "imagenet",
    "RGB",
    tuple(255 * value for value in IMAGENET_MEAN),  # type: ignore[arg-type]
    tuple(255 * value for value in IMAGENET_STD),  # type: ignore[arg-type]
)
"""Of all that is trained here, and of the networks that the tensorboy code trained."""
CAFFE = InputFormat("caffe", "BGR", (128.0,) * 3, (256.0,) * 3)
"""BGR, pixel / 256 - 0.5: of OpenPose's Caffe models and, written (pixel - 128) / 256, of the lightweight network's."""

INPUT_FORMATS: dict[str, InputFormat] = {each.name: each for each in (IMAGENET, CAFFE)}
