"""Goes on with a study by its name alone, makes it larger, or adds an optimizer to it."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.cli.actions.stores import study_paths
from bench.cli.actions.study import run_prepared, said_of_data, say_warnings, typed_spaces
from bench.cli.output import log
from bench.kinds import kind_of
from bench.measure.machine import fingerprint
from bench.settings.dotted import with_dots
from bench.settings.layers import COMMAND_LINE, Setting, checked
from bench.study.ledger_kind import LedgerKind
from bench.study.ledger_runner import extend_study
from bench.study.machine_settings import device_and_workers
from bench.study.prepared import Prepared
from bench.study.stored import Stored, refuse_elsewhere, stored, with_data
from posemodel.errors import SettingsError


def resume(name: str, *, data: Path | None, workers: str | None, as_json: bool) -> None:
    """Go on with a study, or show a finished one again."""
    began = time.time()
    study = stored(name, study_paths(), kind_of)
    spec = study.spec if study.finished and data is None else with_data(study, data, said_of_data(study.kind))
    _run(study, spec, _workers(study, workers), as_json=as_json, began=began)


def extend(name: str, amount: Mapping[str, int], *, data: Path | None, workers: str | None, as_json: bool) -> None:
    """Make a study larger, and run what is new; ``amount``: by the setting's name."""
    began = time.time()
    study = stored(name, study_paths(), kind_of)
    kind, own = study.kind, study.kind.spec.extends_by
    if not isinstance(kind, LedgerKind) or {*amount} - {*own} or not amount:
        flags = " ".join(f"--{each.replace('_', '-')}" for each in own)
        takes = f"is extended by {flags}" if own else "cannot be extended"
        raise SettingsError(f"study {name}: a study of kind {kind.name} {takes}.")
    extended = kind.extended(study.spec, amount, looked=study.looked)
    _extend(study, extended, data, workers, as_json=as_json, began=began)


def add(
    name: str,
    optimizers: Sequence[str],
    spaces: Sequence[str] | None,
    *,
    kind: str,
    data: Path | None,
    workers: str | None,
    as_json: bool,
) -> None:
    """Add optimizers to a study, and run what is new; ``kind``: of which it must be."""
    began = time.time()
    study = stored(name, study_paths(), kind_of)
    if study.kind.name != kind or not isinstance(study.kind, LedgerKind):
        raise SettingsError(f"study {name}: is of kind {study.kind.name}, and takes no further optimizer.")
    names = [with_dots(each.strip()) for text in optimizers for each in text.split(",")]
    extended = study.kind.with_optimizers(study.spec, names, typed_spaces(list(spaces or ())) or {})
    _extend(study, extended, data, workers, as_json=as_json, began=began)


def _extend(
    study: Stored[Any], extended: Any, data: Path | None, workers: str | None, *, as_json: bool, began: float
) -> None:
    """Keep a larger study in the place of the smaller one, and run it."""
    if extended == study.spec:
        log(f"study {study.spec.name}: is of that size already; it goes on.")
        resume(study.spec.name, data=data, workers=workers, as_json=as_json)
        return
    at_once = _workers(study, workers)  # what is typed wrong is said before anything is changed
    refuse_elsewhere(study, fingerprint())
    placed = with_data(study, data, said_of_data(study.kind))
    spec = extended.model_copy(update={name: getattr(placed, name) for name in type(placed).outside})
    assert isinstance(study.kind, LedgerKind)
    extend_study(study.kind, study.spec, spec, study_paths())
    _run(study, spec, at_once, as_json=as_json, began=began)


def _run(study: Stored[Any], spec: Any, workers: int, *, as_json: bool, began: float) -> None:
    prepared = Prepared(spec.name, (spec,), workers)
    say_warnings(study.kind, prepared)
    run_prepared(study.kind, prepared, own_report=None, as_json=as_json, began=began)


def _workers(study: Stored[Any], typed: str | None) -> int:
    """Trials that run at once: as many as somebody asks for, else as many as did last."""
    declared = study.kind.spec.declarations().get("workers")
    if typed is None:
        return study.workers
    if declared is None:
        raise SettingsError(f"--workers {typed}: a study of kind {study.kind.name} measures one thing at a time.")
    asked = checked(declared.type, "workers", typed, COMMAND_LINE)
    device = Setting(study.spec.device, f"study {study.spec.name}")
    return int(device_and_workers({"device": device, "workers": asked})["workers"].value)
