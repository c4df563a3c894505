"""What every kind of study is made of, whatever it asks."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from bench.identity import FIRST, identifying
from bench.setting_layers import Setting
from posemodel.config import Settings
from posemodel.errors import SettingsError


def _fit_for_a_folder(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError("must be letters, digits, '.', '_' and '-', and begin with a letter or digit")
    return value


StudyName = Annotated[str, Field(max_length=120), AfterValidator(_fit_for_a_folder)]


class StudyBase(Settings):
    """A study of any kind, fully resolved: everything that its results depend on but the machine."""

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
        return cls.model_validate(dict(document))

    @classmethod
    def settled(cls, settings: dict[str, Setting], device: str) -> dict[str, Setting]:  # noqa: ARG003 (others do)
        """Its settings with those resolved that hang on each other, or on the device; before it is built."""
        return settings

    def size_text(self) -> str:
        """The study in one line."""
        return f"a study of kind {self.kind}"

    def identity(self) -> dict[str, Any]:
        """What makes this study itself: all fields but the folder in which the data stands."""
        return identifying(self, exclude=("data",))


def refuse_difference(name: str, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """SettingsError with every difference if a study's name already stands for another specification."""
    # A setting that came later is named only where it is used: that it is absent says nothing of a version.
    absent = sorted(({*wanted} - {*known}) & {name for names in FIRST.values() for name in names})
    if absent:
        raise SettingsError(
            f"name: the study {name!r} was begun by another version of posebench, which has no {', '.join(absent)}. "
            "Go on with it in that version, or give another --name."
        )
    changed = differences(known, wanted)
    if changed:
        raise SettingsError(
            f"name: the study {name!r} exists with another specification:\n  " + "\n  ".join(changed) + "\n"
            "Give the same settings to go on with it, or another --name."
        )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Fields in which two identities differ, as `field: old -> new`."""
    return [f"{k}: {old.get(k)!r} -> {new.get(k)!r}" for k in sorted({*old, *new}) if old.get(k) != new.get(k)]
