"""The `networks` study kind: each network trained for equal time, in each precision."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pandas as pd

from bench.engines.trial import TrialKind
from bench.kinds.networks.analysis import NetworkRun, network_findings
from bench.kinds.networks.plan import LEARNING_RATES, OTHER_RATE, combinations, plan_networks
from bench.kinds.networks.spec import NetworksSpec
from bench.records.mlflow_views import SavedView
from bench.records.reader import RUN_COLUMNS, StudyRuns
from bench.report.cells import known
from bench.report.findings import Findings
from bench.report.text import code
from bench.report.train_command import train_command
from bench.settings.layers import errors_about
from bench.study.kind import Settings
from bench.study.ledger_kind import FindingsKind
from bench.trials.columns import rows_of
from bench.trials.phases import CONFIRM
from bench.trials.progress import MS
from bench.trials.record import OPTIONAL_FIELDS, TEXT_FIELDS
from bench.trials.score_scale import collapse_floor
from bench.trials.spec import TrialSpec
from bench.trials.training import run_trial
from bench.workloads import POSE, workload
from bench.workloads.pose_training import NETWORK
from posemodel.errors import SettingsError
from posemodel.network import input_geometry
from posemodel.network.cost import network_cost


class NetworksKind(FindingsKind[NetworksSpec]):
    """The `networks` study kind; `bench.study.kind` documents the methods."""

    spec = NetworksSpec
    trials = TrialKind(run_trial)
    views: ClassVar[Sequence[SavedView]] = (
        SavedView(
            "Trainings by network",
            CONFIRM,
            ("final.ap", "final.images_per_s", "final.val_loss"),
            ("network", "batch_size", "status"),
        ),
    )

    def refuse(self, settings: Settings, command_line: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Refuse networks that do not exist or do not accept the input size."""
        for index, network in enumerate(settings["networks"].value):
            with errors_about(settings, ("networks", index), "size"):
                try:
                    input_geometry(network, settings["size"].value)
                except SettingsError as error:
                    raise SettingsError(str(error).removeprefix("network: ")) from error

    def next_trials(self, spec: NetworksSpec, records: pd.DataFrame) -> Sequence[TrialSpec]:  # noqa: ARG002
        """Return all trials: none depends on the result of another."""
        return plan_networks(spec)

    def findings(self, spec: NetworksSpec, records: pd.DataFrame, runs: StudyRuns) -> Findings:
        """Analyse AP, loss, speed, curve and sample images of each training."""
        combination_by_index = dict(enumerate(combinations(spec)))
        commands = {trial.index: train_command(trial, spec.data) for trial in plan_networks(spec)}
        ended = [
            _network_run(row, combination_by_index[row["index"]], runs, commands[row["index"]])
            for row in rows_of(records)
        ]
        named = records[["trial_id"]].assign(
            network=[run.network for run in ended], precision=[run.precision for run in ended]
        )
        curves = named.merge(runs.curves(records), on="trial_id")
        floor = collapse_floor(workload(POSE).score)
        return network_findings(ended, curves, terms=_terms(spec, records), seconds=spec.seconds, floor=floor)


def _network_run(row: dict[str, Any], combination: tuple[str, str], runs: StudyRuns, command: str) -> NetworkRun:
    network, precision = combination
    cost = _cost(network, row)
    samples = runs.samples(row["run_id"])
    own = {*TEXT_FIELDS, *OPTIONAL_FIELDS, *RUN_COLUMNS}
    return NetworkRun(
        network=network,
        precision=precision,
        status=str(row["status"]),
        steps=row["steps_done"],
        learning_rate=LEARNING_RATES.get(network, OTHER_RATE),
        parameters=cost["parameters"],
        gmacs=cost["gmacs"],
        size=cost["size"],
        metrics={name: value for name, value in row.items() if name not in own and not pd.isna(value)},
        sheet=None if samples is None else samples.sheet,
        wall_s=(row["ended_ms"] - row["started_ms"]) / MS,
        command=command,
    )


def _cost(network: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters, GMACs and input side: as the training recorded them, or by the network's name."""
    values = (row.get(f"{NETWORK}{name}") for name in ("parameters", "gmacs", "size"))
    recorded = [float(value) for value in values if value is not None and known(value)]
    if len(recorded) == 3:
        return {"parameters": int(recorded[0]), "gmacs": recorded[1], "size": int(recorded[2])}
    try:
        return network_cost(network, row["size"] or None)  # 0: the network's own size
    except SettingsError:  # a user's class, which is not found here
        return {"parameters": None, "gmacs": None, "size": row["size"] or None}


def _terms(spec: NetworksSpec, records: pd.DataFrame) -> str:
    scored = "all images" if spec.scored_images is None else f"at most {spec.scored_images} images"
    at_once = int(records["concurrent_trials"].max()) if len(records) else 1
    shared = f" Up to {at_once} ran at once: their speeds are those of a shared machine." if at_once > 1 else ""
    return (
        f"Each network was trained for {spec.seconds:g} s on {spec.device} (evaluations not counted) with batches of "
        f"{spec.batch_size}, {spec.num_workers} workers, Adam at a learning rate set for each network, foreground "
        f"weight {spec.foreground_weight:g} and one seed ({spec.seed}), on data {code(spec.data.name)} (annotations "
        f"{spec.data_digest}), and scored on {scored} of the val split. *fp32*: float32; a GPU may round the inputs "
        'of its convolutions to TF32, which is PyTorch\'s default (see "What it ran on"). *bf16*: convolutions in '
        "bfloat16 by autocast, weights and loss in float32. Images/s do not count the first step, which loads "
        f"libraries and chooses kernels; its seconds count in the budget.{shared}"
    )


KIND = NetworksKind()
