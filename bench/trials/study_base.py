"""Base classes of study specifications: fields and behaviour common to every kind of study."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, ValidationError

from bench.optimizers.names import modules_of
from bench.settings.data_files import DATA_PATHS
from bench.settings.declarations import Declaration, declarations_of
from bench.settings.layers import Setting
from bench.settings.shared_settings import PLACE_SETTINGS, SHARED_SETTINGS
from bench.settings.weights_files import BACKBONE, WEIGHTS
from bench.trials.identity import FIRST_SETTINGS, identifying
from posemodel.config import DataFiles, Exif, Schedule, Settings
from posemodel.errors import SettingsError


def _fit_for_a_folder(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError("must be letters, digits, '.', '_' and '-', and begin with a letter or digit")
    return value


DERIVED = ("kind", "data_digest", "weights_digest", "own_schedules", "preset", "added", "first_trials")
"""Fields of a specification that are not settings."""
Runner = Literal["ledger", "measurement"]
"""`ledger`: any number of processes that claim trials from the ledger; `measurement`: one process, without a ledger."""
StudyName = Annotated[str, Field(max_length=120), AfterValidator(_fit_for_a_folder)]


@cache
def _declarations(study: type["StudyBase"]) -> Mapping[str, Declaration]:
    return declarations_of(study, study.resolved_before, DERIVED)


class StudyBase(Settings):
    """A fully resolved study of any kind: everything that its results depend on, except the machine."""

    not_in_identity: ClassVar[tuple[str, ...]] = ("data", *DATA_PATHS)
    """Fields that are not part of a study's identity: the paths of its data."""
    resolved_before: ClassVar[Mapping[str, Declaration]] = {**SHARED_SETTINGS, **PLACE_SETTINGS}
    """Study-file settings that are resolved before a study is built."""
    runner: ClassVar[Runner] = "ledger"
    """Runner of its trials."""
    estimates: ClassVar[bool] = False
    """True if the time of such a study can be estimated before it runs, and it can be sized for `--budget`."""
    extends_by: ClassVar[tuple[str, ...]] = ()
    """Settings that can be raised to make a begun study larger, see `LedgerKind.extended`."""
    takes_more_optimizers: ClassVar[bool] = False
    """True if optimizers can be added to a begun study."""
    kind: str
    name: StudyName
    preset: str
    data: Path
    """Folder of the data set on this machine."""
    data_digest: str
    """Digest of the annotations, so that the same data set in another folder is the same study."""

    @classmethod
    def from_stored(cls, document: Mapping[str, Any]) -> Self:
        """Read a stored study, also one of an earlier version; SettingsError if it is of another kind."""
        own_kind = cls.model_fields["kind"].default
        kind = document.get("kind", own_kind)
        if kind != own_kind:
            raise SettingsError(f"study {document.get('name')}: is of kind {kind!r}; this needs one of {own_kind}.")
        try:
            return cls.model_validate(dict(document))
        except ValidationError as error:
            raise SettingsError(
                f"study {document.get('name')}: was begun by another version of posebench, which has other settings "
                f"({error.errors()[0]['loc'][-1]}). Use that version to show it, or begin a study with another --name."
            ) from error

    @classmethod
    def kind_name(cls) -> str:
        """Return the kind's name, as in `posebench study KIND`."""
        return str(cls.model_fields["kind"].default)

    @classmethod
    def question(cls) -> str:
        """Return the question that such a study answers: the first line of its class's docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

    @classmethod
    def declarations(cls) -> Mapping[str, Declaration]:
        """Return every setting of such a study by name, in the order of a study file."""
        return _declarations(cls)

    @classmethod
    def type_of(cls, name: str, value: Any) -> Any:  # noqa: ARG003 (others go by the value)
        """Return the type that a setting must have; some kinds choose it by the given ``value``."""
        return cls.declarations()[name].type

    @classmethod
    def settle_layers(cls, settings: dict[str, Setting], layers: Sequence[Mapping[str, Setting]]) -> None:
        """Resolve settings that depend on which layer sets them, changing ``settings``; ``layers``: lowest first."""

    @classmethod
    def settle_settings(cls, settings: dict[str, Setting], device: str) -> dict[str, Setting]:  # noqa: ARG003 (others do)
        """Resolve settings that depend on each other or on the device, before the study is built."""
        return settings

    def size_text(self) -> str:
        """Describe the study in one line."""
        return f"a study of kind {self.kind}"

    @property
    def optimizer_modules(self) -> tuple[str, ...]:
        """Top modules of its optimizers that are neither posebench's nor PyTorch's, each once."""
        modules = [module for name in getattr(self, "optimizers", ()) for module in modules_of(name)]
        return tuple(dict.fromkeys(modules))

    @property
    def file_paths(self) -> dict[str, Path]:
        """Paths of its files on this machine by setting, without the data folder."""
        values = {name: getattr(self, name, None) for name in self.not_in_identity if name != "data"}
        return {name: value for name, value in values.items() if isinstance(value, Path)}

    def identity(self) -> dict[str, Any]:
        """Return the study's identity as plain data: all fields but those in ``not_in_identity``."""
        return identifying(self, exclude=self.not_in_identity)


class PictureStudy(DataFiles, StudyBase):
    """A study on an image data set, whose annotation and image paths may be given explicitly."""

    exif: Exif = "ignore"
    """follow: rotate pictures by their EXIF orientation; ignore: read pixels as they are stored."""

    @property
    def data_text(self) -> str:
        """The data set in words: name, category if chosen, digest, and EXIF handling if images are turned."""
        category = "" if self.category is None else f", category {self.category}"
        turned = ", pictures turned by their EXIF orientation" if self.exif == "follow" else ""
        return f"data {self.data.name} (annotations {self.data_digest}{category}{turned})"


class TrainingStudy(PictureStudy):
    """A study whose trials train a network on images, all from random or all from the same weights."""

    not_in_identity: ClassVar[tuple[str, ...]] = (*PictureStudy.not_in_identity, *WEIGHTS)
    weights: Path | None = Field(default=None, examples=["runs/base/best.safetensors"])
    """Checkpoint that every trial starts from (fine-tuning); `network` and `size` default to the checkpoint's."""
    backbone_weights: Path | None = Field(default=None, examples=["weights/vgg19.safetensors"])
    """Weights file of VGG19 trained on ImageNet (torchvision's) that every trial's backbone starts from."""
    weights_digest: str = ""
    """Digest of the weights file that trials start from, so that the same file at another path is the same study."""
    own_schedules: dict[str, Schedule] = Field(default={})
    """Schedules that optimizers' methods fix themselves, by optimizer; all others train with the study's."""

    @property
    def initial_weights_text(self) -> str:
        """The initial weights file with its digest, in words; empty if trials start from random weights."""
        if not self.weights_digest:
            return ""
        source = "VGG19's weights" if self.weights_digest.startswith(BACKBONE) else "the weights"
        file = self.weights or self.backbone_weights
        named = "" if file is None else f" {file.name}"
        return f"{source}{named} (digest {self.weights_digest.removeprefix(BACKBONE)})"


LARGER_EXISTS_REMEDY = "It is larger: `posebench study resume {}` goes on with it. Or give another --name."
"""Remedy if a smaller study was requested under the name of a larger one; `{}` is the name."""
SAME_SETTINGS_REMEDY = "Give the same settings to go on with it, or another --name."


def refuse_difference(
    name: str, existing: Mapping[str, Any], requested: Mapping[str, Any], remedy: str = SAME_SETTINGS_REMEDY
) -> None:
    """Raise SettingsError with all differences if a study's name is taken by another specification.

    Args:
        name: Name of the study.
        existing: Identity of the existing study.
        requested: Identity of the requested study.
        remedy: Last sentence of the error.
    """
    # Later settings are in an identity only if used, so their absence does not reveal the version; others' does.
    absent = sorted(({*requested} - {*existing}) & {name for names in FIRST_SETTINGS.values() for name in names})
    if absent:
        raise SettingsError(
            f"name: the study {name!r} was begun by another version of posebench, which has no {', '.join(absent)}. "
            "Go on with it in that version, or give another --name."
        )
    changed = differences(existing, requested, absent="its default")  # identities omit later settings at their defaults
    if existing.get("data_digest") != requested.get("data_digest"):
        changed.append("(data_digest: the annotation files changed, or their entries are filtered or read differently)")
    if existing.get("weights_digest") != requested.get("weights_digest"):
        changed.append("(weights_digest: its trials start from other weights, or from none)")
    if changed:
        raise SettingsError(
            f"name: the study {name!r} exists with another specification:\n  " + "\n  ".join(changed) + f"\n{remedy}"
        )


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Return the names of the fields in which two identities differ."""
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], *, absent: str = "None") -> list[str]:
    """List the fields in which two identities differ, as `field: old -> new`; ``absent``: text for a missing field.

    For a table in both, only its differing entries are listed, as `spaces.adam.lr: ...`.
    """

    def text(identity: Mapping[str, Any], name: str) -> str:
        return repr(identity[name]) if name in identity else absent

    changes: list[str] = []
    for name in sorted({*old, *new}):
        old_value, new_value = old.get(name), new.get(name)
        if old_value and new_value and isinstance(old_value, Mapping) and isinstance(new_value, Mapping):
            changes += [f"{name}.{each}" for each in differences(old_value, new_value, absent="none")]
        elif old_value != new_value:
            changes.append(f"{name}: {text(old, name)} -> {text(new, name)}")
    return changes
