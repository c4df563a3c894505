"""What a joint study ran, what of it failed and why, and what it cannot say."""

import pandas as pd

from bench.kinds.joint.analysis.found import JointFound
from bench.kinds.joint.analysis.words import CHOSEN, UNEQUAL
from bench.report.findings import Bullets, Section, Table
from bench.report.text import literal
from bench.report.wording import counted, enumerate_items
from bench.trials.phases import SEARCH
from bench.trials.status import Status

COLUMNS = ("phase", "status", "why", "trials", "optimizers", "batch_size", "num_workers")


def failure_section(found: JointFound) -> list[Section]:
    """What failed and why, search and confirm trials; none where nothing did."""
    records = found.records
    broken = records[records["status"] != Status.COMPLETE] if len(records) else records
    if not len(broken):
        return []
    why = broken["error"].fillna("").astype(str) if "error" in broken else pd.Series("", index=broken.index)
    rows = [
        [
            str(phase),
            str(status).replace("_", " "),
            str(reason) or "-",
            str(len(own)),
            enumerate_items(sorted({found.names.get(str(name), str(name)) for name in own["optimizer"]})),
            *(
                enumerate_items([str(int(each)) for each in sorted(own[name].unique())])
                for name in ("batch_size", "num_workers")
            ),
        ]
        for (phase, status, reason), own in broken.assign(error=why).groupby(["phase", "status", "error"], sort=True)
    ]
    rows.sort(key=lambda row: (row[0] != SEARCH, -int(row[3]), row[1], row[2]))
    return [Section("What failed and why", [Table(COLUMNS, rows)])]


def run_section(found: JointFound) -> Section:
    """What was run, on what, and what of it is shared."""
    rows = found.records
    if not len(rows):
        return Section("What was run", [f"{_plan(found)} {found.data[0].upper()}{found.data[1:]}."])
    first = rows.iloc[0]
    network, size, device = (first.get(name, "-") for name in ("network", "size", "device"))
    where = f"Network {literal(str(network))} at {size} px, {found.data}, on {device}."
    return Section("What was run", [f"{_plan(found)} {where}{_at_once(found)}"])


def _plan(found: JointFound) -> str:
    names = enumerate_items([literal(found.names[name]) for name in found.optimizers])
    given = f" (the first {found.fixed} given, as far as they say)" if found.fixed else ""
    aim = "AP" if found.single else "AP and images/s"
    seeds = counted(found.seeds, "fresh seed")
    return (
        f"{counted(found.search_trials, 'search trial')} of {found.length}, one seed each, chosen "
        f"{CHOSEN[found.sampler]}{given} for {aim} over optimizer ({names}), its hyperparameters, num_workers, "
        f"pin_memory and batch_size together; then each pick with {seeds} of {found.length}."
    )


def _at_once(found: JointFound) -> str:
    told = [f" Trials ran on {found.hosts} machines."] if found.hosts > 1 else []
    if found.shared_machine:
        told.append(f" Up to {counted(found.most_at_once, 'trial')} ran at once: images/s are of a shared machine.")
    return "".join(told)


def limits_section(found: JointFound) -> Section:
    """What this cannot say."""
    return Section(
        "What this cannot say",
        [
            Bullets(
                [
                    f"Which optimizer is better: {UNEQUAL[found.sampler]}. That question is `posebench study "
                    "optimizers`.",
                    "Which loader settings are fastest: images/s are measured once a trial. With repeats and "
                    "intervals: `posebench study loaders`.",
                    "What holds for other networks, data, machines or lengths of training.",
                ]
            )
        ],
    )
