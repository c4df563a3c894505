"""What every kind of study is made of, whatever it asks."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, ValidationError

from bench.settings.declared import Declaration, declarations_of
from bench.settings.layers import Setting
from bench.settings.shared import OF_EVERY_KIND, WORKERS
from bench.settings.weights_files import BACKBONE, WEIGHTS
from bench.trials.identity import FIRST, identifying
from posemodel.config import DataFiles, Exif, Settings
from posemodel.errors import SettingsError


def _fit_for_a_folder(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError("must be letters, digits, '.', '_' and '-', and begin with a letter or digit")
    return value


DERIVED = ("kind", "data_digest", "weights_digest", "preset", "added", "first_trials")
"""Fields that are no settings."""
Runner = Literal["ledger", "measurement"]
"""`ledger`: any number of processes that take trials from the Optuna storage; `measurement`: one, and no storage."""
StudyName = Annotated[str, Field(max_length=120), AfterValidator(_fit_for_a_folder)]


@cache
def _declarations(study: type["StudyBase"]) -> Mapping[str, Declaration]:
    return declarations_of(study, study.resolved, DERIVED)


class StudyBase(Settings):
    """A study of any kind, fully resolved: everything that its results depend on but the machine."""

    outside: ClassVar[tuple[str, ...]] = ("data", *DataFiles.model_fields)
    """Fields that are no part of what a study is, with another value it is the same: the places of its data."""
    resolved: ClassVar[Mapping[str, Declaration]] = {**OF_EVERY_KIND, "workers": WORKERS}
    """Study-file settings that are resolved before a study is built."""
    runner: ClassVar[Runner] = "ledger"
    """Who runs its trials."""
    estimates: ClassVar[bool] = False
    """Whether such a study can tell beforehand how long it will take, and be sized for a time (`--budget`)."""
    extends_by: ClassVar[tuple[str, ...]] = ()
    """Settings by which a begun study can be made larger, see `LedgerKind.extended`."""
    takes_more_optimizers: ClassVar[bool] = False
    """Whether optimizers can be added to a begun study."""
    kind: str
    name: StudyName
    preset: str
    data: Path
    """Folder of the data set."""
    data_digest: str
    """Fingerprint of the annotations: the same data set in another folder is the same study."""

    @classmethod
    def stored(cls, document: Mapping[str, Any]) -> Self:
        """A study as it was stored, by an earlier version too; SettingsError where it is one of another kind."""
        own = cls.model_fields["kind"].default
        kind = document.get("kind", own)
        if kind != own:
            raise SettingsError(f"study {document.get('name')}: is of kind {kind!r}; this needs one of {own}.")
        try:
            return cls.model_validate(dict(document))
        except ValidationError as error:
            raise SettingsError(
                f"study {document.get('name')}: was begun by another version of posebench, which has other settings "
                f"({error.errors()[0]['loc'][-1]}). Show it with that version, or begin one of another name."
            ) from error

    @classmethod
    def kind_name(cls) -> str:
        """As in `posebench study KIND`."""
        return str(cls.model_fields["kind"].default)

    @classmethod
    def question(cls) -> str:
        """The question that such a study answers: the first line of its class's docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

    @classmethod
    def declarations(cls) -> Mapping[str, Declaration]:
        """Every setting of such a study, by name, in the order in which a study file has them."""
        return _declarations(cls)

    @classmethod
    def type_of(cls, name: str, value: Any) -> Any:  # noqa: ARG003 (others go by the value)
        """The type that a given value of a setting must have."""
        return cls.declarations()[name].type

    @classmethod
    def settle_layers(cls, settings: dict[str, Setting], layers: Sequence[Mapping[str, Setting]]) -> None:
        """Settle settings of which one layer's decide those of another; ``layers``: lowest first."""

    @classmethod
    def settled(cls, settings: dict[str, Setting], device: str) -> dict[str, Setting]:  # noqa: ARG003 (others do)
        """Its settings with those resolved that hang on each other, or on the device; before it is built."""
        return settings

    def size_text(self) -> str:
        """The study in one line."""
        return f"a study of kind {self.kind}"

    @property
    def places(self) -> dict[str, Path]:
        """Where its files stand on this machine, by setting, but for the folder of its data."""
        values = {name: getattr(self, name, None) for name in self.outside if name != "data"}
        return {name: value for name, value in values.items() if isinstance(value, Path)}

    def identity(self) -> dict[str, Any]:
        """What makes this study itself: all fields but those ``outside``."""
        return identifying(self, exclude=self.outside)


class PictureStudy(DataFiles, StudyBase):
    """A study on a data set of pictures, whose files may be named outright."""

    exif: Exif = "ignore"
    """Whether pictures are turned as their EXIF orientation says; `ignore` reads pixels as they are stored."""

    @property
    def data_text(self) -> str:
        """The data set as plain text: name, digest, and how its pictures are read where that is not as stored."""
        turned = ", pictures turned by their EXIF orientation" if self.exif == "follow" else ""
        return f"data {self.data.name} (annotations {self.data_digest}{turned})"


class TrainingStudy(PictureStudy):
    """A study whose trials train a network on pictures: from nothing, or all of them from the same weights."""

    outside: ClassVar[tuple[str, ...]] = (*PictureStudy.outside, *WEIGHTS)
    weights: Path | None = Field(default=None, examples=["runs/base/best.safetensors"])
    """Checkpoint that every trial starts from (fine-tuning). A `network` or `size` that is not given is its own."""
    backbone_weights: Path | None = Field(default=None, examples=["weights/vgg19.safetensors"])
    """VGG19's weights from ImageNet (torchvision's) that the backbone of every trial starts from."""
    weights_digest: str = ""
    """Fingerprint of the file that trials start from: the same file in another place is the same study."""

    @property
    def beginning_text(self) -> str:
        """The file that trials start from, with its digest, as plain text; empty: every trial starts from nothing."""
        if not self.weights_digest:
            return ""
        what = "VGG19's weights" if self.weights_digest.startswith(BACKBONE) else "the weights"
        file = self.weights or self.backbone_weights
        named = "" if file is None else f" {file.name}"
        return f"{what}{named} (digest {self.weights_digest.removeprefix(BACKBONE)})"


LARGER = "It is larger: `posebench study resume {}` goes on with it. Or give another --name."
"""Of a study's name, whose settings were asked for in a smaller number."""
SAME_SETTINGS = "Give the same settings to go on with it, or another --name."


def refuse_difference(
    name: str, known: Mapping[str, Any], wanted: Mapping[str, Any], remedy: str = SAME_SETTINGS
) -> None:
    """SettingsError with every difference if a study's name already stands for another specification."""
    # A setting that came later is named only where it is used: that it is absent says nothing of a version.
    absent = sorted(({*wanted} - {*known}) & {name for names in FIRST.values() for name in names})
    if absent:
        raise SettingsError(
            f"name: the study {name!r} was begun by another version of posebench, which has no {', '.join(absent)}. "
            "Go on with it in that version, or give another --name."
        )
    changed = differences(known, wanted, absent="its default")  # a later setting that stands there is in no identity
    if known.get("data_digest") != wanted.get("data_digest"):
        changed.append(
            "(data_digest: the annotation files are others, or something else of them is left out or read differently)"
        )
    if known.get("weights_digest") != wanted.get("weights_digest"):
        changed.append("(weights_digest: its trials begin from other weights, or from none)")
    if changed:
        raise SettingsError(
            f"name: the study {name!r} exists with another specification:\n  " + "\n  ".join(changed) + f"\n{remedy}"
        )


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """The fields in which two identities differ."""
    return {name for name in {*old, *new} if old.get(name) != new.get(name)}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], *, absent: str = "None") -> list[str]:
    """Fields in which two identities differ, as `field: old -> new`; ``absent``: the text of a missing one.

    Of a table in both only what differs within, as `spaces.adam.lr`.
    """

    def text(identity: Mapping[str, Any], name: str) -> str:
        return repr(identity[name]) if name in identity else absent

    found: list[str] = []
    for name in sorted({*old, *new}):
        ours, theirs = old.get(name), new.get(name)
        if ours and theirs and isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            found += [f"{name}.{each}" for each in differences(ours, theirs, absent="none")]
        elif ours != theirs:
            found.append(f"{name}: {text(old, name)} -> {text(new, name)}")
    return found
