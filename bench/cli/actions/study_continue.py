"""Actions on a begun study, by its name: go on with it, make it larger, or add an optimizer to it."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.cli.actions.stores import study_paths
from bench.cli.actions.study import data_logger, log_warnings, run_prepared, typed_spaces
from bench.cli.output import log
from bench.kinds import kind_of
from bench.measure.machine import fingerprint
from bench.settings.layers import COMMAND_LINE, Setting, checked_setting
from bench.study.begun_study import BegunStudy, read_begun_study, refuse_other_machine, with_data
from bench.study.ledger_kind import LedgerKind
from bench.study.ledger_runner import extend_study
from bench.study.machine_settings import device_and_workers
from bench.study.prepared import Prepared
from posemodel.dotted_paths import with_dots
from posemodel.errors import SettingsError


def resume(name: str, *, data: Path | None, workers: str | None, as_json: bool) -> None:
    """Go on with a study, or show a finished one again."""
    began = time.time()
    study = read_begun_study(name, study_paths(), kind_of)
    spec = study.spec if study.finished and data is None else with_data(study, data, data_logger(study.kind))
    _run(study, spec, _workers(study, workers), as_json=as_json, began=began)


def extend(name: str, amount: Mapping[str, int], *, data: Path | None, workers: str | None, as_json: bool) -> None:
    """Make a study larger and run what is new; ``amount``: new total by setting, as {"tunings": 5}."""
    began = time.time()
    study = read_begun_study(name, study_paths(), kind_of)
    kind, extendable = study.kind, study.kind.spec.extends_by
    if not isinstance(kind, LedgerKind) or {*amount} - {*extendable} or not amount:
        flags = " ".join(f"--{each.replace('_', '-')}" for each in extendable)
        takes = f"is extended by {flags}" if extendable else "cannot be extended"
        raise SettingsError(f"study {name}: a study of kind {kind.name} {takes}.")
    extended = kind.extend(study.spec, amount, finished_amounts=study.finished_amounts)
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
    """Add optimizers to a study, which must be of ``kind``, and run what is new."""
    began = time.time()
    study = read_begun_study(name, study_paths(), kind_of)
    if study.kind.name != kind or not isinstance(study.kind, LedgerKind):
        raise SettingsError(f"study {name}: is of kind {study.kind.name}, to which no optimizer can be added.")
    names = [with_dots(each.strip()) for text in optimizers for each in text.split(",")]
    extended = study.kind.with_optimizers(study.spec, names, typed_spaces(list(spaces or ())) or {})
    _extend(study, extended, data, workers, as_json=as_json, began=began)


def _extend(
    study: BegunStudy[Any], extended: Any, data: Path | None, workers: str | None, *, as_json: bool, began: float
) -> None:
    """Store a larger study in place of the smaller one, and run it."""
    if extended == study.spec:
        log(f"study {study.spec.name}: already has that size; going on with it.")
        resume(study.spec.name, data=data, workers=workers, as_json=as_json)
        return
    at_once = _workers(study, workers)  # raises for a wrong --workers before anything is changed
    refuse_other_machine(study, fingerprint(study.spec.optimizer_modules))
    located = with_data(study, data, data_logger(study.kind))
    spec = extended.model_copy(update={name: getattr(located, name) for name in type(located).not_in_identity})
    assert isinstance(study.kind, LedgerKind)
    extend_study(study.kind, study.spec, spec, study_paths())
    _run(study, spec, at_once, as_json=as_json, began=began)


def _run(study: BegunStudy[Any], spec: Any, workers: int, *, as_json: bool, began: float) -> None:
    prepared = Prepared(spec.name, (spec,), workers)
    log_warnings(study.kind, prepared)
    run_prepared(study.kind, prepared, own_report=None, as_json=as_json, began=began)


def _workers(study: BegunStudy[Any], typed: str | None) -> int:
    """Return the number of trials to run at once: that of --workers, by default that of the last session."""
    declared = study.kind.spec.declarations().get("workers")
    if typed is None:
        return study.workers
    if declared is None:
        raise SettingsError(f"--workers {typed}: a study of kind {study.kind.name} measures one thing at a time.")
    requested = checked_setting(declared.type, "workers", typed, COMMAND_LINE)
    device = Setting(study.spec.device, f"study {study.spec.name}")
    return int(device_and_workers({"device": device, "workers": requested})["workers"].value)
