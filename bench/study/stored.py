"""A study that has been begun, as its stores have it: to go on with it, or to make it larger, on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from bench.ledger.foreign import refuse_foreign
from bench.ledger.reader import identities
from bench.measure.machine import PACKAGES
from bench.settings.weights_files import weights_digest
from bench.study.kind import StudyKind
from bench.study.status import KindOf, results_of
from bench.study.store_paths import StorePaths
from bench.trials.study_base import StudyBase, differences
from bench.workloads.protocol import OnOpen
from posemodel.errors import SettingsError

S = TypeVar("S", bound=StudyBase)
MACHINE_CLASS = ("cpu", "cores", "gpu", "convolutions_in_tf32")
"""Of a machine's fingerprint: on another one speeds are others, and so may be the last digits of every score."""
VERSIONS = ("python", "cuda", *PACKAGES)


@dataclass(frozen=True)
class Stored(Generic[S]):
    """A study that has been begun."""

    kind: StudyKind[S]
    spec: S
    """With the folder where its data set stood last."""
    machine: Mapping[str, str]
    """The fingerprint of the machine that began it."""
    finished: bool
    """Whether it has ended, its report included."""
    looked: frozenset[int]
    """Amounts of what it can be extended by with which it has ended, now or before."""
    workers: int
    """Trials that ran at once when somebody worked on it last."""


def stored(name: str, paths: StorePaths, kind_of: KindOf) -> Stored[Any]:
    """A study by its name, looked at only; SettingsError names the nearest ones where there is none."""
    known = identities(paths.storage_url)
    refuse_foreign([each for each, identity in known.items() if identity is None], paths.storage_url, name)
    runs = results_of(paths.storage_url, paths.tracking_uri, name)
    document = runs.study_document()
    kind = kind_of(document)
    identity = known.get(name)
    finished, looked = runs.finished(), runs.looked(kind.spec.extends_by)
    if identity is not None:  # it knows before MLflow that a study was extended
        places = {field: document[field] for field in kind.spec.outside if field in document}
        finished = finished and identity == kind.spec.stored(document).identity()
        document = places | identity
    sessions = runs.sessions()
    last = sessions.sort_values("began_ms")["workers"] if len(sessions) else [1]
    return Stored(kind, kind.spec.stored(document), runs.machine(), finished, looked, int(list(last)[-1]))


def with_data(study: Stored[S], folder: Path | None, on_open: OnOpen | None) -> S:
    """The study with its data set where it stands now; SettingsError where that, or its weights, are others by now.

    ``folder``: where somebody says that it stands; None: where it stood last.
    """
    spec = study.spec if folder is None else study.spec.model_copy(update={"data": folder.resolve()})
    settings = study.kind.settings_of(spec)
    if "weights_digest" in settings:
        weights, known = weights_digest(settings), settings["weights_digest"].value
        if weights != known:
            raise SettingsError(
                f"study {spec.name}: the file that its trials start from is another one by now (digest "
                f"{known} -> {weights}): bring it back, or begin a study of another --name."
            )
    found = study.kind.find_data(settings, None, on_open)
    if found.digest != spec.data_digest:
        raise SettingsError(
            f"study {spec.name}: its data set is another one by now ({spec.data.name}: annotations {spec.data_digest} "
            f"-> {found.digest}): bring it back, name its folder with --data, or begin a study of another --name."
        )
    return spec


def refuse_elsewhere(study: Stored[Any], here: Mapping[str, str]) -> None:
    """SettingsError where another class of machine, or other versions, would add to a study's results.

    ``here``: the fingerprint of this machine.
    """
    for names, what in ((MACHINE_CLASS, "another machine"), (VERSIONS, "other versions")):
        then = {name: study.machine[name] for name in names if name in study.machine}
        found = differences(_coarse(then), _coarse({name: here[name] for name in then}))
        if found:
            raise SettingsError(
                f"study {study.spec.name}: was begun on {what} ({'; '.join(found)}): what is added here could not be "
                "compared with what it has; add to it there, or begin a study of another --name."
            )


def _coarse(machine: Mapping[str, str]) -> dict[str, str]:
    """Of Python the minor version: its patches change no result."""
    return {name: ".".join(text.split(".")[:2]) if name == "python" else text for name, text in machine.items()}
