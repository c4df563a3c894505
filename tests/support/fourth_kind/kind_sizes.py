"""The kind `sizes`: the same training at several input sizes."""

import math
from collections.abc import Sequence

import pandas as pd
from bench.kinds.sizes.analysis import sizes_findings
from bench.kinds.sizes.spec import SizesSpec

from bench.engines.trial import TrialKind
from bench.records.reader import StudyRuns
from bench.report.findings import Findings
from bench.study.ledger_kind import FindingsKind
from bench.trials.phases import CONFIRM
from bench.trials.spec import TrialSpec
from bench.trials.training import run_trial
from posemodel.config import MIN_SIZE, LoaderSettings, TrainSettings

OPTIMIZER = "adam"


class SizesKind(FindingsKind[SizesSpec]):
    """See `bench.study.kind`."""

    spec = SizesSpec
    trials = TrialKind(run_trial)

    def next_trials(self, spec: SizesSpec, records: pd.DataFrame) -> Sequence[TrialSpec]:
        """Seed by seed, so that a study that is cut off is balanced."""
        return plan(spec)

    def findings(self, spec: SizesSpec, records: pd.DataFrame, runs: StudyRuns) -> Findings:
        """Mean AP at each size."""
        return sizes_findings(spec.identity(), records)


def plan(spec: SizesSpec) -> list[TrialSpec]:
    """All trials."""
    wanted = [(seed, size) for seed in range(spec.seeds) for size in spec.sizes if size >= MIN_SIZE]
    steps = math.ceil(spec.images / spec.batch_size)
    return [
        TrialSpec(
            phase=CONFIRM,
            index=index,
            optimizer=OPTIMIZER,
            hyperparameters={"lr": spec.lr},
            data_digest=spec.data_digest,
            train=TrainSettings(
                data=spec.data,
                val_split="report",
                hold_out_select=True,
                network=spec.network,
                size=size,
                steps=steps,
                val_every=steps,
                ap_every=steps,
                log_every=1,
                loader=LoaderSettings(batch_size=spec.batch_size),
                seed=seed,
                device=spec.device,
            ),
        )
        for index, (seed, size) in enumerate(wanted)
    ]


KIND = SizesKind()
