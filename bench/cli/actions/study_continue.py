"""Actions on a begun study, by its name: go on with it, make it larger, or add an optimizer to it."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cli.actions.stores import study_paths
from bench.cli.actions.study import data_logger, log_warnings, run_prepared, typed_spaces
from bench.cli.output import log
from bench.kinds import kind_of, refuse_variables
from bench.measure.machine import fingerprint, versions
from bench.report.wording import counted
from bench.settings.layers import COMMAND_LINE, DEFAULT, ENVIRONMENT_PREFIX, Setting, as_list, checked_setting
from bench.settings.shared_settings import PLACE_SETTINGS
from bench.study.begun_study import BegunStudy, read_begun_study, refuse_other_machine, with_data
from bench.study.ledger_kind import LedgerKind
from bench.study.ledger_runner import extend_study
from bench.study.machine_settings import (
    ABOUT_ITS_MACHINE,
    cluster_of,
    gpus_of_workers,
    on_cluster,
    places_here,
    places_on_gpus,
)
from bench.study.prepared import Prepared
from posemodel.dotted_paths import with_dots
from posemodel.errors import SettingsError


def resume(name: str, *, data: Path | None, places: Mapping[str, str | None], as_json: bool) -> None:
    """Go on with a study, or show a finished one again.

    ``places``: texts typed for the settings of where and how many trials run; None: not typed.
    """
    began = time.time()
    refuse_variables(os.environ)
    study = read_begun_study(name, study_paths(), kind_of)
    spec = study.spec if study.finished and data is None else with_data(study, data, data_logger(study.kind))
    _run(study, spec, places_of(study, places, shown=study.finished), as_json=as_json, began=began)


def extend(
    name: str, amount: Mapping[str, int], *, data: Path | None, places: Mapping[str, str | None], as_json: bool
) -> None:
    """Make a study larger and run what is new; ``amount``: new total by setting, as {"tunings": 5}."""
    began = time.time()
    refuse_variables(os.environ)
    study = read_begun_study(name, study_paths(), kind_of)
    kind, extendable = study.kind, study.kind.spec.extends_by
    if not isinstance(kind, LedgerKind) or {*amount} - {*extendable} or not amount:
        flags = " ".join(f"--{each.replace('_', '-')}" for each in extendable)
        takes = f"is extended by {flags}" if extendable else "cannot be extended"
        raise SettingsError(f"study {name}: a study of kind {kind.name} {takes}.")
    extended = kind.extend(study.spec, amount, finished_amounts=study.finished_amounts)
    _extend(study, extended, data, places, as_json=as_json, began=began)


def add(
    name: str,
    optimizers: Sequence[str],
    spaces: Sequence[str] | None,
    *,
    kind: str,
    data: Path | None,
    places: Mapping[str, str | None],
    as_json: bool,
) -> None:
    """Add optimizers to a study, which must be of ``kind``, and run what is new."""
    began = time.time()
    refuse_variables(os.environ)
    study = read_begun_study(name, study_paths(), kind_of)
    if study.kind.name != kind or not isinstance(study.kind, LedgerKind):
        raise SettingsError(f"study {name}: is of kind {study.kind.name}, to which no optimizer can be added.")
    names = [with_dots(each.strip()) for text in optimizers for each in text.split(",")]
    extended = study.kind.with_optimizers(study.spec, names, typed_spaces(list(spaces or ())) or {})
    _extend(study, extended, data, places, as_json=as_json, began=began)


def _extend(
    study: BegunStudy[Any],
    extended: Any,
    data: Path | None,
    places: Mapping[str, str | None],
    *,
    as_json: bool,
    began: float,
) -> None:
    """Store a larger study in place of the smaller one, and run it."""
    if extended == study.spec:
        log(f"study {study.spec.name}: already has that size; going on with it.")
        resume(study.spec.name, data=data, places=places, as_json=as_json)
        return
    on_machine = places_of(study, places)  # raises for a wrong --workers or --gpus before anything is changed
    modules = study.spec.optimizer_modules
    trains_here = on_machine["workers"].value and on_machine["engine"].value == "local"
    here = fingerprint(modules, on_machine["gpus"].value) if trains_here else versions(modules)
    refuse_other_machine(study, here)
    located = with_data(study, data, data_logger(study.kind))
    spec = extended.model_copy(update={name: getattr(located, name) for name in type(located).not_in_identity})
    assert isinstance(study.kind, LedgerKind)
    extend_study(study.kind, study.spec, spec, study_paths())
    _run(study, spec, on_machine, as_json=as_json, began=began)


def _run(study: BegunStudy[Any], spec: Any, places: Mapping[str, Setting], *, as_json: bool, began: float) -> None:
    loaders = {"num_workers": Setting(spec.num_workers, "")} if hasattr(spec, "num_workers") else {}
    cluster = cluster_of({**places, **loaders}) if "device" in places else None
    prepared = Prepared(
        spec.name,
        (spec,),
        places["workers"].value if cluster is None else 0,
        gpus=places["gpus"].value,
        checkpoints=places["checkpoints"].value,
        cluster=cluster,
    )
    log_warnings(study.kind, prepared)
    run_prepared(study.kind, prepared, own_report=None, as_json=as_json, began=began)


def places_of(
    study: BegunStudy[Any],
    typed: Mapping[str, str | None],
    workers: Setting | None = None,
    *,
    shown: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Setting]:
    """Return the settings of where and how many trials run, as typed, or else as in the environment; `gpus` as the GPU
    of each worker.

    Args:
        study: The study.
        typed: Texts typed for these settings; None: not typed.
        workers: Used where neither workers nor GPUs are given; None: as many as in the last session of the study's own
            command, if the GPUs here have places for them.
        shown: The study is finished and only shown again, for which this machine need not have its device, and the
            environment says nothing.
        environ: Environment variables.

    Raises SettingsError if this machine has no such device, GPU or number of places.
    """
    declared = {name: each for name, each in study.kind.spec.declarations().items() if name in PLACE_SETTINGS}
    on_line = {name: (text, COMMAND_LINE) for name, text in typed.items() if text is not None}
    if on_line and not declared:
        flag, (text, _) = next(iter(on_line.items()))
        if flag in ("engine", "ray_address"):
            raise SettingsError(f"--{flag.replace('_', '-')} {text}: {ABOUT_ITS_MACHINE}")
        raise SettingsError(
            f"--{flag.replace('_', '-')} {text}: a study of kind {study.kind.name} measures one thing at a time."
        )
    settings = {name: Setting(each.default, DEFAULT) for name, each in PLACE_SETTINGS.items()}
    as_before = Setting(study.workers, f"study {study.spec.name}")
    if not declared or (shown and not on_line):
        workers = workers or replace(as_before, value=max(1, as_before.value))  # 0 would tell of workers to start
        return settings | {"workers": workers, "gpus": Setting((), DEFAULT)}
    variables = {name: ENVIRONMENT_PREFIX + name.upper() for name in declared}
    in_environment = {
        name: (environ[variable], f"environment {variable}")
        for name, variable in variables.items()
        if environ.get(variable)
    }
    given = in_environment | on_line
    for name, (text, origin) in given.items():
        value = text if declared[name].list_item_type is None else as_list(text, truths=False)
        settings[name] = checked_setting(declared[name].type, name, value, origin)
    settings["device"] = Setting(study.spec.device, f"study {study.spec.name}")
    if not {"workers", "gpus", "trials_per_gpu"} & {*given} and not on_cluster(settings):
        settings["workers"] = workers or _as_before(as_before, settings)
    settings |= places_here(settings)
    return settings | {"gpus": Setting(gpus_of_workers(settings), settings["gpus"].origin)}


def _as_before(workers: Setting, settings: Mapping[str, Setting]) -> Setting:
    """Return the workers of the last session, fewer if the GPUs have fewer places for trials, which is said."""
    if not workers.value:
        return workers  # nothing trains here: this machine need not have the device
    places = places_on_gpus(settings)
    if places is None or workers.value <= places:
        return workers
    log(
        f"{workers.origin}: {counted(places, 'trial')} at once, not {workers.value} as before: the GPUs here have no "
        "more places (--trials-per-gpu 2 lets two share one)."
    )
    return Setting(places, f"{workers.origin} (places on the GPUs here)")
