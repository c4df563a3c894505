"""Compare TPE, random search and a quasi-random plan at an equal budget, over several repetitions.

python -m bench.kinds.joint.sampler_comparison --repetitions 5 --preset small --out DIR

The same command continues an interrupted comparison.

Every run is a joint study of the full pipeline, without confirm trials, in the working folder's stores. The samplers
take turns, so that all meet the same machine; they are judged by the hypervolume of AP and images/s.
"""

import argparse
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.kinds import refuse_variables
from bench.kinds.joint.kind import KIND, JointKind
from bench.kinds.joint.plan import plan_search
from bench.kinds.joint.spec import JointSpec, SamplerName
from bench.records.reader import StudyRuns
from bench.report.csv_file import write_csv
from bench.report.findings import Findings
from bench.settings.shared_settings import DEFAULT_STORAGE, DEFAULT_TRACKING
from bench.statistics.intervals import mean_interval, paired_interval
from bench.statistics.pareto import hypervolume_history
from bench.storage.printing import print_line, print_text
from bench.study.prepare import prepare
from bench.study.prepared import Prepared
from bench.study.settings import StudyRequest
from bench.study.store_paths import StorePaths
from bench.trials.spec import Slot
from posemodel.synthetic import generate

SAMPLERS: tuple[SamplerName, ...] = ("tpe", "random", "quasi-random")
RUNS, TABLE = "sampler-runs.csv", "samplers.csv"


def run_all(prepared: Prepared[JointSpec], repetitions: int, samplers: Sequence[SamplerName]) -> pd.DataFrame:
    """Run every study, or read it if it has already run.

    Returns:
        A row for each trial: sampler, repetition, trial, hypervolume so far, AP, images/s.
    """
    frames = []
    for repetition, sampler in itertools.product(range(repetitions), samplers):
        changes = {"sampler": sampler, "seed": repetition, "name": f"sampler-{sampler}-{repetition}"}
        spec = prepared.spec.model_copy(update=changes)
        records = _records(spec, prepared.workers)
        values = records[list(spec.objectives)].where(records["status"] == "complete").to_numpy(dtype=float)
        frames.append(
            pd.DataFrame(
                {
                    "sampler": sampler,
                    "repetition": repetition,
                    "trial": np.arange(1, len(values) + 1),
                    "hypervolume": hypervolume_history(values),
                    "ap": values[:, 0],
                    "images_per_s": values[:, -1],
                }
            )
        )
        print_line(f"{spec.name}: {frames[-1]['hypervolume'].iloc[-1]:.3f}", flush=True)
    return pd.concat(frames, ignore_index=True)


class _SearchOnly(JointKind):
    """A joint study without confirm trials."""

    def next_trials(self, spec: JointSpec, records: pd.DataFrame) -> Sequence[Slot]:  # noqa: ARG002
        """Return the slots of the search."""
        return plan_search(spec)

    def findings(self, spec: JointSpec, records: pd.DataFrame, runs: StudyRuns) -> Findings:  # noqa: ARG002
        """Return empty findings: the comparison reads the records."""
        return Findings("A search without its picks.", [])


def _records(spec: JointSpec, workers: int) -> pd.DataFrame:
    """Run a study and return its search trials in the order in which they were asked."""
    result, _ = _SearchOnly().run(spec, StorePaths(DEFAULT_STORAGE, DEFAULT_TRACKING, Path("reports")), workers=workers)
    return result.info.records.sort_values("index", ignore_index=True)


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return each sampler's hypervolume at half of the trials and at the end: mean over repetitions, 95 % interval."""
    last = int(runs["trial"].max())
    rows = []
    for sampler in dict.fromkeys(runs["sampler"]):
        own = runs[runs["sampler"] == sampler]
        for trials in (last // 2, last):
            values = own.loc[own["trial"] == trials, "hypervolume"].to_numpy()
            interval = mean_interval(values)
            rows.append([sampler, trials, len(values), float(values.mean()), interval.low, interval.high])
    return pd.DataFrame(rows, columns=["sampler", "trials", "n", "hypervolume", "low", "high"])


def differences(runs: pd.DataFrame) -> pd.DataFrame:
    """Compare each pair of samplers at the end of their budgets, by repetition.

    The runs of a repetition share fixed points, training seeds and the hour; each draws its own random first trials.

    Returns:
        A row for each pair, with the mean difference in hypervolume and its 95 % interval.
    """
    last = runs[runs["trial"] == runs["trial"].max()].pivot_table("hypervolume", "repetition", "sampler")
    rows = []
    for one, other in itertools.combinations(dict.fromkeys(runs["sampler"]), 2):
        gaps = (last[one] - last[other]).to_numpy()
        interval = paired_interval(gaps)
        rows.append([one, other, interval.estimate, interval.low, interval.high, int((gaps > 0).sum()), len(gaps)])
    return pd.DataFrame(rows, columns=["one", "other", "difference", "low", "high", "better", "n"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison, write the runs and the table of samplers, and print that table and the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--study", type=Path, help="study file that overrides the preset")
    parser.add_argument("--workers", type=int, default=2, help="number of trials that run at once")
    parser.add_argument("--out", type=Path, default=Path("reports") / "samplers")
    options = parser.parse_args(arguments)
    refuse_variables(os.environ)
    command_line = {"workers": options.workers}
    prepared = prepare(KIND, StudyRequest(command_line, options.study, options.preset), _make_data)
    runs = run_all(prepared, options.repetitions, SAMPLERS)
    options.out.mkdir(parents=True, exist_ok=True)
    write_csv(runs, options.out / RUNS)
    write_csv(table(runs), options.out / TABLE)
    print_text(table(runs).to_string(index=False, float_format="{:.4g}".format))
    print_text(differences(runs).to_string(index=False, float_format="{:.4g}".format))


def _make_data(folder: Path, images: int, seed: int) -> None:
    generate(folder, images=images, seed=seed, num_workers=0)


if __name__ == "__main__":
    main()
