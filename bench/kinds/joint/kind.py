"""The `joint` study kind: a search in the ledger, then its picks on fresh seeds."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import pandas as pd

from bench.kinds.joint.analysis import Pick, completed_confirm, joint_findings, picks
from bench.kinds.joint.budget_design import CHOSEN, choose_size
from bench.kinds.joint.estimate import describe_estimate, estimate, estimate_text, measure_costs
from bench.kinds.joint.importances import Observed, importances
from bench.kinds.joint.objectives import AXES
from bench.kinds.joint.plan import PickedConfiguration, plan_confirm, plan_search
from bench.kinds.joint.space import OPTIMIZER, choices_made, distributions, fixed_choice, fixed_optimizer
from bench.kinds.joint.spec import MAX_TRIALS, JointSpec
from bench.kinds.joint.trial import TRIALS
from bench.optimizers import optimizer_entry
from bench.optimizers.earlier_spaces import as_begun
from bench.optimizers.line import optimizer_line
from bench.optimizers.same_algorithm import same_algorithm
from bench.optimizers.space import as_value
from bench.records.mlflow_views import SavedView
from bench.records.reader import StudyRuns
from bench.report.command_output import CommandOutput
from bench.report.findings import Findings
from bench.report.names import short_names
from bench.report.own_schedules import schedule_note
from bench.report.text import plain
from bench.report.train_command import cpu_threads, repeat_note, train_command
from bench.settings.layers import errors_about
from bench.study.kind import Settings
from bench.study.ledger_kind import FindingsKind
from bench.study.prepared import Prepared
from bench.study.probe import EstimateError, Measured
from bench.study.sessions import most_at_once
from bench.study.sizing import ChosenSize
from bench.trials.columns import rows_of
from bench.trials.needed_length import UNKNOWN, NeededLength, estimate_needed_length
from bench.trials.own_schedules import other_schedules, schedules_as_begun
from bench.trials.phases import CONFIRM, SEARCH, SECOND
from bench.trials.scores import counted
from bench.trials.spec import Planned
from bench.trials.status import Status
from bench.trials.study_base import LARGER_EXISTS_REMEDY, changed_fields
from bench.workloads import POSE
from bench.workloads.of_study import workload_of
from posemodel.errors import SettingsError


class JointKind(FindingsKind[JointSpec]):
    """The `joint` study kind; `bench.study.kind` documents the methods."""

    spec = JointSpec
    trials = TRIALS
    budgeted = CHOSEN
    views: ClassVar[Sequence[SavedView]] = (
        SavedView(
            "Picks on fresh seeds",
            CONFIRM,
            ("final.ap", "final.images_per_s"),
            ("seed", "hp.lr", "hp.effective_lr", "batch_size"),
        ),
        SavedView(
            "Search trials by optimizer",
            SEARCH,
            ("final.ap", "final.images_per_s"),
            ("hp.lr", "hp.effective_lr", "batch_size", "num_workers"),
        ),
    )

    def views_of(self, spec: JointSpec) -> Sequence[SavedView]:
        """Return the views with the score of the study's workload."""
        if spec.measure.is_ap:
            return self.views
        score = spec.measure.score
        return [view.of_score(score.name, lower_is_better=score.sign < 0) for view in self.views]

    def check(self, spec: JointSpec, settings: Settings) -> None:
        """Refuse a fixed configuration that does not fit the search space."""
        for index, configuration in enumerate(spec.fixed):
            with errors_about(settings, ("fixed", index, OPTIMIZER)):
                fixed_optimizer(spec, index)
            for name in configuration:
                with errors_about(settings, ("fixed", index, name)):
                    fixed_choice(spec, index, name)

    def warnings(self, spec: JointSpec) -> Sequence[str]:
        """Name optimizers that are the same algorithm in this study."""
        return same_algorithm(spec.optimizers, spec.spaces, spec.weight_decay)

    def estimate_text(self, prepared: Prepared[JointSpec]) -> str:
        """Return the estimated duration in words, from one typical configuration."""
        return estimate_text(prepared)

    def measure_costs(self, prepared: Prepared[JointSpec]) -> Measured:
        """Measure setup, steps and evaluations of a typical configuration; takes some seconds."""
        return measure_costs(prepared)

    def choose_size(self, prepared: Prepared[JointSpec], choosable: Collection[str], seconds: float) -> ChosenSize:
        """Choose number of trials, their length and seeds to fit the study into so many seconds."""
        return choose_size(prepared, measure_costs(prepared), choosable, seconds)

    def plan_output(self, prepared: Prepared[JointSpec]) -> CommandOutput:
        """Return the planned search slots and the estimated duration."""
        shown = super().plan_output(prepared)
        try:
            estimated = estimate(prepared)
            known, text = estimated.document(), describe_estimate(prepared, estimated)
        except EstimateError as error:
            known, text = None, str(error)
        *blocks, last = shown.blocks
        note = _schedule_note(prepared.spec)
        return CommandOutput(
            shown.document | {"estimate": known}, [*blocks, *([plain(note)] if note else []), text, last]
        )

    def with_stored_settings(self, spec: JointSpec, stored_identity: Mapping[str, Any]) -> JointSpec:
        """Return the study with the spaces, own schedules and, if it was extended, the first size that it was begun
        with."""
        first = stored_identity.get("first_trials") if stored_identity.get("trials") == spec.trials else None
        return spec.model_copy(
            update={
                "spaces": as_begun(spec.spaces, stored_identity.get("spaces", {})),
                "own_schedules": schedules_as_begun(spec, stored_identity),
                "first_trials": first,
            }
        )

    def difference_remedy(self, spec: JointSpec, stored_identity: Mapping[str, Any]) -> str:
        """Say how to enlarge the study if only the number of trials differs."""
        begun_trials, changed = stored_identity.get("trials"), changed_fields(stored_identity, spec.identity())
        if begun_trials is None or "trials" not in changed or not changed <= {"trials", "first_trials"}:
            return super().difference_remedy(spec, stored_identity)
        if spec.trials < begun_trials:
            return LARGER_EXISTS_REMEDY.format(spec.name)
        more = f"`posebench study extend {spec.name} --trials {spec.trials}` makes it larger."
        return f"{more} Or give another --name."

    def extend(self, spec: JointSpec, amount: Mapping[str, int], *, finished_amounts: Collection[int]) -> JointSpec:  # noqa: ARG002
        """Return the study with more search trials.

        Confirming the picks again is harmless, since nothing was chosen by their confirm seeds.
        """
        trials = amount["trials"]
        if trials < spec.trials:
            raise SettingsError(
                f"--trials {trials}: the study {spec.name!r} already has {spec.trials} trials: give a larger number."
            )
        if trials > MAX_TRIALS:
            raise SettingsError(f"--trials {trials}: a study can have {MAX_TRIALS} trials at most.")
        if trials == spec.trials:
            return spec
        return spec.model_copy(update={"trials": trials, "first_trials": spec.first_trials or spec.trials})

    def next_trials(self, spec: JointSpec, records: pd.DataFrame) -> Sequence[Planned]:
        """Return the slots of the search; once all are recorded and one has scored, also the confirm trials of the
        picks."""
        search = plan_search(spec)
        ended = int((records["phase"] == SEARCH).sum()) if len(records) else 0
        if ended < len(search):
            return search
        confirm = plan_confirm(spec, [as_configuration(pick) for pick in picks(records, spec.objective, spec.measure)])
        if not _has_learned(spec, records):
            known = {*records["trial_id"]}  # an earlier version confirmed picks that had not scored
            confirm = [trial for trial in confirm if trial.id in known]
        return [*search, *confirm]

    def minimum_trials(self, spec: JointSpec) -> int:
        """Return the number of search trials."""
        return spec.trials

    def objectives(self, spec: JointSpec) -> int:
        """Return the number of objectives: 1 (the score) or 2 (the score and images/s)."""
        return len(spec.objectives)

    def findings(self, spec: JointSpec, records: pd.DataFrame, runs: StudyRuns) -> Findings:
        """Analyse a study's records.

        Processes that share a machine each know only of their own trials, so the number of trials at once is also taken
        from the sessions.
        """
        sessions = runs.sessions()
        if len(records):
            concurrent = records["concurrent_trials"].clip(lower=most_at_once(sessions))
            records = records.assign(concurrent_trials=concurrent)
        configurations = {pick.key: as_configuration(pick) for pick in picks(records, spec.objective, spec.measure)}
        lines = {
            key: optimizer_line(
                optimizer_entry(each.optimizer),
                each.hyperparameters,
                spec.weight_decay,
                steps=spec.steps(each.loader["batch_size"]),
            )
            for key, each in configurations.items()
        }
        commands, notes = _train_commands(spec, configurations, records)
        return joint_findings(
            records,
            objective=spec.objective,
            importances=importances(observed(spec, records), spec.objectives),
            optimizers=spec.optimizers,
            optimizer_lines=lines,
            fixed=len(spec.fixed),
            search_trials=spec.trials,
            seeds=spec.seeds,
            sampler=spec.sampler,
            length=spec.length_text(),
            data=spec.data_text,
            loader={"persistent_workers": True},
            hosts=max(1, sessions["host"].nunique()),
            measure=spec.measure,
            needed=_needed(spec, records),
            train_commands=commands,
            train_notes=notes,
            beginning=spec.initial_weights_text,
            other_schedules=other_schedules(spec),
            schedule=spec.schedule,
            schedule_note=_schedule_note(spec),
        )


def _schedule_note(spec: JointSpec) -> str:
    """Return the footnote on optimizers whose schedule is not the study's; empty if there are none."""
    return schedule_note(other_schedules(spec), short_names(spec.optimizers), spec.schedule)


def _needed(spec: JointSpec, records: pd.DataFrame) -> NeededLength | None:
    """Return how long trials would have to be if the search has ended, none scored and nothing was trained again."""
    if not len(records) or (records["phase"] == SEARCH).sum() < spec.trials or _has_learned(spec, records):
        return None
    if (records["phase"] == CONFIRM).any():
        return None
    unit = SECOND if spec.images is None else spec.measure.samples.removesuffix("s")
    length = spec.images if spec.images is not None else spec.seconds or 0.0
    if workload_of(spec).name != POSE:
        return NeededLength(length, unit, why=UNKNOWN)
    return estimate_needed_length(records.drop(columns="round", errors="ignore"), SEARCH, length=length, unit=unit)


def _has_learned(spec: JointSpec, records: pd.DataFrame) -> bool:
    """Return whether any trial, of any phase, has learned something."""
    measure = spec.measure
    if not len(records) or measure.column not in records:
        return False
    return any(measure.has_learned(value) for value in counted(records, measure.column, measure.score.failure))


def as_configuration(pick: Pick) -> PickedConfiguration:
    """Return a pick's settings as a configuration."""
    settings = dict(pick.settings)
    optimizer, loader = str(settings.pop(OPTIMIZER)), {axis: settings.pop(axis) for axis in AXES}
    return PickedConfiguration(optimizer, {name: as_value(value) for name, value in settings.items()}, loader)


def _train_commands(
    spec: JointSpec, configurations: Mapping[str, PickedConfiguration], records: pd.DataFrame
) -> tuple[dict[str, str], dict[str, str]]:
    """Return each pick's `posebench train` command and a note on its result, by the pick's key.

    The command repeats the first confirm trial, by seed, that completed.
    """
    commands, notes = {}, {}
    planned = plan_confirm(spec, [*configurations.values()])
    for index, key in enumerate(configurations):
        trials = planned[index :: len(configurations)]
        ended = completed_confirm(records, key)
        trial = next((each for each in trials if each.seed in ended), trials[0])
        record = ended.get(trial.seed, {})
        threads = cpu_threads(record.get("torch_threads"), record.get("device"))
        commands[key] = train_command(trial, spec.data, threads=threads)
        notes[key] = repeat_note(trial, record.get("ap") if spec.measure.is_ap else None)
    return commands, notes


def observed(spec: JointSpec, records: pd.DataFrame) -> list[Observed]:
    """Return the complete search trials with the values they chose and the distributions these came from."""
    trials = []
    search = records[(records["phase"] == SEARCH) & (records["status"] == Status.COMPLETE)] if len(records) else records
    for row in rows_of(search):
        name = row["optimizer"]
        values = {key: as_value(value) for key, value in json.loads(row["hyperparameters"]).items()}
        choices = choices_made(spec, name, values, {axis: row[axis] for axis in AXES})
        own = {key.removeprefix(f"{name}."): value for key, value in choices.items() if key.startswith(f"{name}.")}
        shared = {key: choices[key] for key in (OPTIMIZER, *AXES)}
        drawn_from = {key.removeprefix(f"{name}."): each for key, each in distributions(spec, name).items()}
        outcomes = [row[objective] for objective in spec.objectives]
        outcomes[0] = spec.measure.above_chance(outcomes[0])
        trials.append(Observed(name, shared, own, drawn_from, outcomes))
    return trials


KIND = JointKind()
