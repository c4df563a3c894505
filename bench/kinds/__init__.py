"""Registry of the study kinds, one folder each (words: docs/architecture.md).

In: settings and records. Out: trials to run, and findings.

A kind never imports another, and is itself imported only when it is asked for.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from bench.settings.layers import ENVIRONMENT_PREFIX, refuse_unknown_variables
from bench.settings.shared_settings import CHECKPOINT_EVERY_VARIABLE, STORAGE_VARIABLE
from bench.storage.patience_setting import PATIENCE_VARIABLE
from posemodel.config import CACHE_VARIABLE
from posemodel.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from bench.study.kind import StudyKind
    from bench.study.progress import StudySize
    from bench.trials.study_base import StudyBase


@dataclass(frozen=True)
class Entry:
    """Registry entry of a study kind."""

    package: str
    """Package of the kind. Its modules `spec` (with SPEC), `kind` (with KIND) and, if its progress is shown in a way of
    its own, `size` (with `size_of`) are imported when needed."""
    help: str
    """Summary of `posebench study KIND`: a sentence of at most 62 characters, so that lists of verbs show it whole."""


KINDS: dict[str, Entry] = {
    "optimizers": Entry(
        "bench.kinds.optimizers",
        "Compare optimizers, each tuned several times.",
    ),
    "loaders": Entry(
        "bench.kinds.loaders",
        "Measure data loader settings and recommend the best.",
    ),
    "joint": Entry(
        "bench.kinds.joint",
        "Search optimizer, hyperparameters and loader settings at once.",
    ),
    "networks": Entry(
        "bench.kinds.networks",
        "Train every network for the same time and compare them.",
    ),
}
"""Study kinds by their name in `posebench study KIND`."""
KIND_OF_VERB = {"loader advise": "loaders", "networks": "networks"}
"""Study kinds by verb, for the verbs that run one preset of a kind."""
DEFAULT_KIND = "optimizers"
"""Kind of a study file or stored study that names none: the first versions had no other."""


def study_spec(kind: str, where: str = "kind") -> "type[StudyBase]":
    """Return the specification class of a kind.

    SettingsError begins with ``where`` and lists all kinds, the nearest name first.
    """
    if kind not in KINDS:
        raise SettingsError(
            f"{where}: there is no such kind.{did_you_mean(kind, KINDS)} There are: {', '.join(KINDS)}."
        )
    spec = cast("type[StudyBase]", importlib.import_module(f"{KINDS[kind].package}.spec").SPEC)
    assert spec.kind_name() == kind, (
        f"{spec.__name__}: declares kind {spec.kind_name()!r}, but is registered as {kind!r}"
    )
    return spec


def study_kind(kind: str, where: str = "kind") -> "StudyKind[Any]":
    """Return a kind by its name; raises what `study_spec` raises."""
    study_spec(kind, where)
    return cast("StudyKind[Any]", importlib.import_module(f"{KINDS[kind].package}.kind").KIND)


def kind_of(document: Mapping[str, Any]) -> "StudyKind[Any]":
    """Return the kind of a stored study; SettingsError if this version has no such kind."""
    return study_kind(document.get("kind", DEFAULT_KIND), f"study {document.get('name')}")


def study_size(document: Mapping[str, Any], planned: Mapping[str, int]) -> "StudySize | None":
    """Return what `StudyKind.size` of a stored study returns, in the fraction of a second that its module takes.

    SettingsError if this version has no such kind, or another version stored the study.
    """
    kind = document.get("kind", DEFAULT_KIND)
    if study_spec(kind, f"study {document.get('name')}").runner != "ledger":
        return None
    own = f"{KINDS[kind].package}.size"
    module = importlib.import_module(own if importlib.util.find_spec(own) is not None else "bench.study.progress")
    return cast("StudySize", module.size_of(document, planned))


def refuse_variables(environ: Mapping[str, str]) -> None:
    """Raise SettingsError for an environment variable with our prefix that is a setting of no kind."""
    names = dict.fromkeys(name for kind in KINDS for name in study_spec(kind).declarations())
    ours = [ENVIRONMENT_PREFIX + name.upper() for name in names]
    ours += [STORAGE_VARIABLE, CHECKPOINT_EVERY_VARIABLE, PATIENCE_VARIABLE, CACHE_VARIABLE]
    refuse_unknown_variables(ours, environ)
