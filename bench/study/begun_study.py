"""Read a begun study from its stores, to continue or extend it on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd

from bench.ledger.foreign import refuse_foreign
from bench.ledger.reader import read_identities
from bench.measure.machine import PACKAGES, distributions_of
from bench.settings.weights_files import weights_digest
from bench.study.kind import StudyKind
from bench.study.recorded_studies import KindOf, open_records
from bench.study.store_paths import StorePaths
from bench.trials.study_base import StudyBase, differences
from bench.workloads.pose_data import made_again
from bench.workloads.protocol import MakeData, OnOpen
from posemodel.errors import SettingsError

S = TypeVar("S", bound=StudyBase)
MACHINE_CLASS = ("cpu", "cores", "gpu", "convolutions_in_tf32")
"""Fingerprint entries whose change alters speeds, and possibly the last digits of every score."""
VERSIONS = ("python", "cuda", *PACKAGES)


@dataclass(frozen=True)
class BegunStudy(Generic[S]):
    """A begun study, as read from its stores."""

    kind: StudyKind[S]
    spec: S
    """Its specification, with the last known folder of its data set."""
    machine: Mapping[str, str]
    """Fingerprint of the machine that began it."""
    finished: bool
    """True if the study and its report are finished."""
    finished_amounts: frozenset[int]
    """Amounts (of the setting by which it can be extended) with which it has finished, now or earlier."""
    workers: int
    """Trials at once in the latest session of its own command; 0 if only other processes have joined it."""


def read_begun_study(name: str, paths: StorePaths, kind_of: KindOf) -> BegunStudy[Any]:
    """Read a study by name, without changing anything; SettingsError with the nearest names if there is none."""
    known_studies = read_identities(paths.storage_url)
    refuse_foreign([each for each, identity in known_studies.items() if identity is None], paths.storage_url, name)
    runs = open_records(paths.storage_url, paths.tracking_uri, name)
    document = runs.study_document()
    kind = kind_of(document)
    identity = known_studies.get(name)
    finished, finished_amounts = runs.finished(), runs.finished_amounts(kind.spec.extends_by)
    if identity is not None:  # an extension is in the ledger before it is in MLflow
        paths_of_data = {field: document[field] for field in kind.spec.not_in_identity if field in document}
        finished = finished and identity == kind.spec.from_stored(document).identity()
        document = paths_of_data | identity
    workers = _workers_before(runs.sessions())
    return BegunStudy(kind, kind.spec.from_stored(document), runs.machine(), finished, finished_amounts, workers)


def _workers_before(sessions: pd.DataFrame) -> int:
    """Return the trials at once in the latest session of a study's own command, for `BegunStudy`.

    A command with `--workers 0` has no session, so a study that others have joined was begun by one. Without any
    session: 1.
    """
    if "engine" in sessions:  # how many a cluster ran says nothing of this machine
        sessions = sessions[sessions["engine"].isna()]
        if not len(sessions):
            return 1
    own = sessions[~sessions["joined"].eq(True)].sort_values("began_ms")["workers"]  # earlier versions did not note it
    if len(own):
        return int(own.iloc[-1])
    return 0 if len(sessions) else 1


def with_data(
    study: BegunStudy[S], folder: Path | None, on_open: OnOpen | None, make_data: MakeData | None = None
) -> S:
    """Return the specification with the present folder of its data set.

    Args:
        study: The study.
        folder: Folder of the data set; None: the last known one.
        on_open: Called with the opened splits.
        make_data: Makes the study's synthetic set in the working folder if the last known folder does not exist here;
            None: that is not done.

    Raises SettingsError if the data set or the initial weights have changed since the study began.
    """
    if folder is None and make_data is not None and not study.spec.data.exists():
        folder = made_again(study.spec.data, make_data)
    spec = study.spec if folder is None else study.spec.model_copy(update={"data": folder.resolve()})
    settings = study.kind.settings_of(spec)
    if "weights_digest" in settings:
        present_digest, stored_digest = weights_digest(settings), settings["weights_digest"].value
        if present_digest != stored_digest:
            raise SettingsError(
                f"study {spec.name}: the weights file that its trials start from has changed (digest "
                f"{stored_digest} -> {present_digest}). Restore it, or begin a study with another --name."
            )
    data = study.kind.find_data(settings, None, on_open)
    if data.digest != spec.data_digest:
        raise SettingsError(
            f"study {spec.name}: its data set has changed ({spec.data.name}: annotations {spec.data_digest} "
            f"-> {data.digest}). Restore it, give its folder with --data, or begin a study with another --name."
        )
    return spec


def refuse_other_machine(study: BegunStudy[Any], here: Mapping[str, str]) -> None:
    """Raise SettingsError if another class of machine, or other package versions, would add results to a study.

    ``here``: the fingerprint of this machine, with the versions of the packages of the study's optimizers.
    """
    versions = (*VERSIONS, *distributions_of(study.spec.optimizer_modules))
    for names, difference in ((MACHINE_CLASS, "another machine"), (versions, "other versions")):
        then = {name: study.machine[name] for name in names if name in study.machine and name in here}
        changed = differences(_without_patch(then), _without_patch({name: here[name] for name in then}))
        if changed:
            raise SettingsError(
                f"study {study.spec.name}: was begun on {difference} ({'; '.join(changed)}): results from here would "
                "not be comparable with its own. Extend it there, or begin a study with another --name."
            )


def _without_patch(machine: Mapping[str, str]) -> dict[str, str]:
    """Return the fingerprint with Python's patch version left out: it changes no result."""
    return {name: ".".join(text.split(".")[:2]) if name == "python" else text for name, text in machine.items()}
