"""The questions that a study can ask, a folder each. In: settings and records; out: what to run next, and findings.

A kind never imports another; this is their registry. Nothing is imported before it is asked for.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from bench.settings.layers import ENVIRONMENT_PREFIX, refuse_unknown_variables
from bench.settings.shared import STORAGE_VARIABLE
from posemodel.config import CACHE_VARIABLE
from posemodel.errors import SettingsError, nearest

if TYPE_CHECKING:
    from bench.study.kind import StudyKind
    from bench.trials.study_base import StudyBase


@dataclass(frozen=True)
class Entry:
    """A kind of study."""

    package: str
    """Its modules `spec` (with SPEC) and `kind` (with KIND) are imported when they are needed."""
    help: str
    """What `posebench study KIND` does, in a sentence."""


KINDS: dict[str, Entry] = {
    "optimizers": Entry(
        "bench.kinds.optimizers",
        "Compare optimizers: tune each several times, train what each tuning found on fresh seeds, report.",
    ),
    "loaders": Entry(
        "bench.kinds.loaders",
        "Measure loader settings on this machine: which to take, and why.",
    ),
    "joint": Entry(
        "bench.kinds.joint",
        "Search a good configuration: optimizer, hyperparameters, num_workers, pin_memory and batch size at once.",
    ),
    "networks": Entry(
        "bench.kinds.networks",
        "Train every network for equal time; AP, images/s, curves, drawn samples as a report.",
    ),
}
"""By name, as in `posebench study KIND`."""
KIND_OF_VERB = {"loader advise": "loaders", "networks": "networks"}
"""The kinds of verbs that run one preset of a kind."""
DEFAULT_KIND = "optimizers"
"""Of a study file or a stored study that names none: the first versions had no other."""


def study_spec(kind: str, where: str = "kind") -> "type[StudyBase]":
    """The specification of a kind's studies; SettingsError, after ``where``, names the nearest kind and all."""
    if kind not in KINDS:
        raise SettingsError(f"{where}: there is no such kind.{nearest(kind, KINDS)} There are: {', '.join(KINDS)}.")
    spec = cast("type[StudyBase]", importlib.import_module(f"{KINDS[kind].package}.spec").SPEC)
    assert spec.kind_name() == kind, f"{spec.__name__}: its kind is {spec.kind_name()!r}, the registry's {kind!r}"
    return spec


def study_kind(kind: str, where: str = "kind") -> "StudyKind[Any]":
    """A kind by its name; errors as of `study_spec`."""
    study_spec(kind, where)
    return cast("StudyKind[Any]", importlib.import_module(f"{KINDS[kind].package}.kind").KIND)


def kind_of(document: Mapping[str, Any]) -> "StudyKind[Any]":
    """The kind of a stored study; SettingsError where this version has no such kind."""
    return study_kind(document.get("kind", DEFAULT_KIND), f"study {document.get('name')}")


def refuse_variables(environ: Mapping[str, str]) -> None:
    """SettingsError for an environment variable that begins as ours do and is a setting of no kind."""
    names = dict.fromkeys(name for kind in KINDS for name in study_spec(kind).declarations())
    ours = [ENVIRONMENT_PREFIX + name.upper() for name in names]
    refuse_unknown_variables([*ours, STORAGE_VARIABLE, CACHE_VARIABLE], environ)
