"""The joint kind: a search in the ledger, then its picks with fresh seeds; put together from trials and analysis."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import pandas as pd

from bench.kinds.joint.analysis import Pick, completed_confirm, joint_findings, picks
from bench.kinds.joint.estimate import estimate, estimate_text, measured, text_of
from bench.kinds.joint.importances import Observed, importances
from bench.kinds.joint.objectives import AXES
from bench.kinds.joint.plan import Picked, plan_confirm, plan_search
from bench.kinds.joint.sized import CHOSEN, sized
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
from bench.report.findings import Findings
from bench.report.shown import Shown
from bench.report.train_command import cpu_threads, repeat_note, train_command
from bench.settings.layers import about
from bench.study.kind import Settings
from bench.study.ledger_kind import FindingsKind
from bench.study.prepared import Prepared
from bench.study.probe import EstimateError, Measured
from bench.study.sessions import most_at_once
from bench.study.sizing import Sized
from bench.trials.columns import rows_of
from bench.trials.needed import UNKNOWN, Needed, needed
from bench.trials.phases import CONFIRM, SEARCH, SECOND
from bench.trials.scores import collapse_floor, has_scored
from bench.trials.spec import Planned
from bench.trials.status import Status
from bench.trials.study_base import LARGER, changed_fields
from bench.workloads import POSE
from bench.workloads.of_study import workload_of
from posemodel.errors import SettingsError


class JointKind(FindingsKind[JointSpec]):
    """See `bench.study.kind`."""

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

    def check(self, spec: JointSpec, settings: Settings) -> None:
        """Refuse a known good configuration that does not fit the space."""
        for place, configuration in enumerate(spec.fixed):
            with about(settings, ("fixed", place, OPTIMIZER)):
                fixed_optimizer(spec, place)
            for name in configuration:
                with about(settings, ("fixed", place, name)):
                    fixed_choice(spec, place, name)

    def warnings(self, spec: JointSpec) -> Sequence[str]:
        """Optimizers that are one algorithm in this study."""
        return same_algorithm(spec.optimizers, spec.spaces, spec.weight_decay)

    def estimate_text(self, prepared: Prepared[JointSpec]) -> str:
        """How long it will take, by one typical configuration."""
        return estimate_text(prepared)

    def measured(self, prepared: Prepared[JointSpec]) -> Measured:
        """Setup, steps and evaluations of a typical configuration, measured in some seconds."""
        return measured(prepared)

    def sized(self, prepared: Prepared[JointSpec], free: Collection[str], seconds: float) -> Sized:
        """Trials, their length and seeds for so many seconds."""
        return sized(prepared, measured(prepared), free, seconds)

    def plan_shown(self, prepared: Prepared[JointSpec]) -> Shown:
        """The places of the search, and how long all will take."""
        shown = super().plan_shown(prepared)
        try:
            found = estimate(prepared)
            known, text = found.document(), text_of(prepared, found)
        except EstimateError as error:
            known, text = None, str(error)
        *blocks, last = shown.blocks
        return Shown(shown.document | {"estimate": known}, [*blocks, text, last])

    def as_begun(self, spec: JointSpec, begun: Mapping[str, Any]) -> JointSpec:
        """Over the spaces that shipped when it was begun; extended, if it was."""
        first = begun.get("first_trials") if begun.get("trials") == spec.trials else None
        return spec.model_copy(update={"spaces": as_begun(spec.spaces, begun.get("spaces", {})), "first_trials": first})

    def go_on_text(self, spec: JointSpec, begun: Mapping[str, Any]) -> str:
        """Where only the number of trials differs, how it is made larger."""
        have, changed = begun.get("trials"), changed_fields(begun, spec.identity())
        if have is None or "trials" not in changed or not changed <= {"trials", "first_trials"}:
            return super().go_on_text(spec, begun)
        if spec.trials < have:
            return LARGER.format(spec.name)
        more = f"`posebench study extend {spec.name} --trials {spec.trials}` makes it larger."
        return f"{more} Or give another --name."

    def extended(self, spec: JointSpec, amount: Mapping[str, int], *, looked: Collection[int]) -> JointSpec:  # noqa: ARG002
        """With more trials of the search; its picks are confirmed on seeds that chose nothing, however often."""
        trials = amount["trials"]
        if trials < spec.trials:
            raise SettingsError(f"--trials {trials}: the study {spec.name!r} has {spec.trials} already.")
        if trials > MAX_TRIALS:
            raise SettingsError(f"--trials {trials}: a study has {MAX_TRIALS} at most.")
        if trials == spec.trials:
            return spec
        return spec.model_copy(update={"trials": trials, "first_trials": spec.first_trials or spec.trials})

    def next_trials(self, spec: JointSpec, records: pd.DataFrame) -> Sequence[Planned]:
        """The places of the search; once all are recorded and one has scored, the picks' trials with fresh seeds."""
        search = plan_search(spec)
        ended = int((records["phase"] == SEARCH).sum()) if len(records) else 0
        if ended < len(search):
            return search
        again = plan_confirm(spec, [picked(pick) for pick in picks(records, spec.objective)])
        if not has_scored(records, collapse_floor(workload_of(spec).score)):
            known = {*records["trial_id"]}  # an earlier version trained them all the same
            again = [trial for trial in again if trial.id in known]
        return [*search, *again]

    def least_trials(self, spec: JointSpec) -> int:
        """Those of the search."""
        return spec.trials

    def objectives(self, spec: JointSpec) -> int:
        """AP, and images/s where a front of both is searched."""
        return len(spec.objectives)

    def findings(self, spec: JointSpec, records: pd.DataFrame, runs: StudyRuns) -> Findings:
        """What a study's records say; of several processes that share a machine each knows only its own trials."""
        sessions = runs.sessions()
        if len(records):
            together = records["concurrent_trials"].clip(lower=most_at_once(sessions))
            records = records.assign(concurrent_trials=together)
        chosen = {pick.key: picked(pick) for pick in picks(records, spec.objective)}
        lines = {
            key: optimizer_line(optimizer_entry(each.optimizer), each.hyperparameters, spec.weight_decay)
            for key, each in chosen.items()
        }
        commands, notes = _train_commands(spec, chosen, records)
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
            floor=collapse_floor(workload_of(spec).score),
            needed=_needed(spec, records),
            train_commands=commands,
            train_notes=notes,
            beginning=spec.beginning_text,
        )


def _needed(spec: JointSpec, records: pd.DataFrame) -> Needed | None:
    """How long trials would have to be where the search has ended, none scored and nothing was trained again."""
    floor = collapse_floor(workload_of(spec).score)
    if not len(records) or (records["phase"] == SEARCH).sum() < spec.trials or has_scored(records, floor):
        return None
    if (records["phase"] == CONFIRM).any():
        return None
    length, unit = (spec.images, "image") if spec.images is not None else (spec.seconds or 0.0, SECOND)
    if workload_of(spec).name != POSE:
        return Needed(length, unit, why=UNKNOWN)
    return needed(records.drop(columns="round", errors="ignore"), SEARCH, length=length, unit=unit)


def picked(pick: Pick) -> Picked:
    """A pick as a configuration."""
    settings = dict(pick.settings)
    optimizer, loader = str(settings.pop(OPTIMIZER)), {axis: settings.pop(axis) for axis in AXES}
    return Picked(optimizer, {name: as_value(value) for name, value in settings.items()}, loader)


def _train_commands(
    spec: JointSpec, chosen: Mapping[str, Picked], records: pd.DataFrame
) -> tuple[dict[str, str], dict[str, str]]:
    """The command of each pick by its key, and what it gives: its first confirm trial, by seed, that completed."""
    commands, notes = {}, {}
    planned = plan_confirm(spec, [*chosen.values()])
    for place, key in enumerate(chosen):
        trials = planned[place :: len(chosen)]
        ended = completed_confirm(records, key)
        trial = next((each for each in trials if each.seed in ended), trials[0])
        record = ended.get(trial.seed, {})
        threads = cpu_threads(record.get("torch_threads"), record.get("device"))
        commands[key] = train_command(trial, spec.data, threads=threads)
        notes[key] = repeat_note(trial, record.get("ap"))
    return commands, notes


def observed(spec: JointSpec, records: pd.DataFrame) -> list[Observed]:
    """The complete search trials with what each chose from which distributions."""
    found = []
    search = records[(records["phase"] == SEARCH) & (records["status"] == Status.COMPLETE)] if len(records) else records
    for row in rows_of(search):
        name = row["optimizer"]
        values = {key: as_value(value) for key, value in json.loads(row["hyperparameters"]).items()}
        made = choices_made(spec, name, values, {axis: row[axis] for axis in AXES})
        own = {key.removeprefix(f"{name}."): value for key, value in made.items() if key.startswith(f"{name}.")}
        shared = {key: made[key] for key in (OPTIMIZER, *AXES)}
        drawn = {key.removeprefix(f"{name}."): each for key, each in distributions(spec, name).items()}
        found.append(Observed(name, shared, own, drawn, [row[objective] for objective in spec.objectives]))
    return found


KIND = JointKind()
