"""Checks that every configuration delivered the same samples: otherwise their speeds could not be compared.

Samples are compared with those that one process makes, batches with those of the fewest workers. A configuration that
delivered other samples counts as failed, and its speed is ignored.
"""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from bench.kinds.loaders.analysis.configurations import configuration_key
from bench.report.text import literal
from bench.report.wording import counted
from bench.trials.columns import rows_of
from bench.trials.status import Status

FAILED = "failed"
"""Status of a configuration that delivered other samples."""
NAMED = 4
"""Maximum number of configurations that a sentence names."""
CAUSES = (
    "Two causes are likely. The data set opened a file, a connection or a generator before its workers were forked, "
    "and they share it: open it in __getitem__, or in a worker_init_fn (--worker-init MODULE:NAME). Or its samples are "
    "random by design, or depend on the worker: then say so (--random-samples)"
)
"""Likely causes and fixes; also the ending by which errors about different samples are recognised."""


def is_different_delivery(error: object) -> bool:
    """Return whether a configuration's error says that it delivered other samples."""
    return str(error).endswith(CAUSES)


def different_sentences(configurations: Sequence[str], errors: Sequence[str]) -> list[str]:
    """Return a sentence in Markdown about configurations that delivered other samples; empty if there are none.

    Args:
        configurations: Their names.
        errors: Their errors, in the same order.
    """
    if not configurations:
        return []
    facts = [
        literal(f"{name} {error.removesuffix(CAUSES).rstrip('. ')}")
        for name, error in zip(configurations, errors, strict=True)
    ]
    more = f"; and {len(facts) - NAMED} more" if len(facts) > NAMED else ""
    return [
        f"{counted(len(facts), 'configuration')} delivered different samples, and cannot be recommended: "
        f"{'; '.join(facts[:NAMED])}{more}. {literal(CAUSES)}."
    ]


def unrepeatable_sentence(name: str, position: int) -> str:
    """Return a sentence about a data set whose sample differed when one process made it a second time."""
    return (
        f"Sample {position} of {name} differed when the same process made it again, with the generators of Python, "
        "NumPy and PyTorch seeded alike: it draws from a generator of its own, or reads on where it stopped. If "
        "that is a file, seek in it in __getitem__; if it is a generator, seed it by the index. If samples are "
        "random by design, say so (--random-samples): what is measured is kept."
    )


def different_deliveries(processes: pd.DataFrame) -> dict[str, str]:
    """Return a description of the differing samples of each configuration that delivered other samples, by its key.

    Args:
        processes: Processes with the settings, ``status`` and ``hashes`` of their first batches, and, if samples were
            compared, ``compared_samples``, ``different_samples`` and ``first_different_sample``.
    """
    if not len(processes):
        return {}
    loaded = rows_of(processes[processes["status"] == Status.COMPLETE])
    differences: dict[str, str] = {}
    for row in loaded:
        different = row.get("different_samples", math.nan)
        if different and not math.isnan(different):
            differences.setdefault(
                configuration_key(row),
                f"made {int(different)} of {int(row['compared_samples'])} samples differently from a single process "
                f"(the first: sample {int(row['first_different_sample'])}). {CAUSES}",
            )
    first: dict[int, tuple[str, Sequence[int]]] = {}
    alike = [row for row in loaded if len(row["hashes"]) and configuration_key(row) not in differences]
    for row in sorted(alike, key=lambda row: row["num_workers"]):
        mine: Sequence[int] = row["hashes"]
        reference, wanted = first.setdefault(int(row["batch_size"]), (_workers(row), mine))
        unequal = [number for number, (a, b) in enumerate(zip(wanted, mine, strict=False)) if a != b]
        if unequal:
            differences.setdefault(
                configuration_key(row), f"delivered a different batch {unequal[0]} than {reference} did. {CAUSES}"
            )
    return differences


def mark_different(processes: pd.DataFrame) -> pd.DataFrame:
    """Return the rows, with those of configurations that delivered other samples (`different_deliveries`) marked as
    failed."""
    others = different_deliveries(processes)
    if not others:
        return processes
    processes = processes.copy()
    for at, row in processes.iterrows():
        why = others.get(configuration_key(row))
        if why is not None and row["status"] == Status.COMPLETE:
            processes.loc[at, ["status", "error"]] = [FAILED, why]
    return processes


def _workers(row: Mapping[str, object]) -> str:
    return counted(int(str(row["num_workers"])), "worker")
