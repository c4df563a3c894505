"""Whether every configuration delivered the same samples: without that, their speeds are those of different work.

Samples are compared with those that one process makes, batches with those of the fewest workers. A configuration that
delivered others counts as failed, whatever it was measured at.
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
NAMED = 4
"""Configurations that a sentence names."""
CAUSES = (
    "Two causes are likely. The data set opened a file, a connection or a generator before its workers were forked, "
    "and they share it: open it in __getitem__, or in a worker_init_fn (--worker-init MODULE:NAME). Or its samples are "
    "random by design, or depend on the worker: then say so (--random-samples)"
)


def delivered_others(error: object) -> bool:
    """Whether a configuration's error says that it delivered something else than others."""
    return str(error).endswith(CAUSES)


def others_sentences(configurations: Sequence[str], errors: Sequence[str]) -> list[str]:
    """A sentence in Markdown about configurations that delivered something else, which and what, and what to do; none
    if there are none."""
    if not configurations:
        return []
    facts = [
        literal(f"{name} {error.removesuffix(CAUSES).rstrip('. ')}")
        for name, error in zip(configurations, errors, strict=True)
    ]
    more = f"; and {len(facts) - NAMED} more" if len(facts) > NAMED else ""
    return [
        f"{counted(len(facts), 'configuration')} delivered other samples, and cannot be recommended: "
        f"{'; '.join(facts[:NAMED])}{more}. {literal(CAUSES)}."
    ]


def unrepeatable(name: str, position: int) -> str:
    """A sentence about a data set whose sample was another one when one process asked for it again."""
    return (
        f"Sample {position} of {name} was another one when the same process asked for it again, with the generators of "
        "Python, NumPy and PyTorch seeded alike: it draws from a generator of its own, or reads on where it stopped. "
        "Where that is a file, seek in it in __getitem__; where it is a generator, seed it by the index. Where samples "
        "are random by design, say so (--random-samples): what is measured is kept."
    )


def other_deliveries(lives: pd.DataFrame) -> dict[str, str]:
    """What configurations delivered that others did not, by their key (`configuration_key`).

    Args:
        lives: Processes with the settings, ``status`` and ``hashes`` of their first batches, and, where samples were
            compared, ``compared_samples``, ``different_samples`` and ``first_different_sample``.
    """
    if not len(lives):
        return {}
    loaded = rows_of(lives[lives["status"] == Status.COMPLETE])
    found: dict[str, str] = {}
    for row in loaded:
        different = row.get("different_samples", math.nan)
        if different and not math.isnan(different):
            found.setdefault(
                configuration_key(row),
                f"made {int(different)} of {int(row['compared_samples'])} samples otherwise than one process does (the "
                f"first: sample {int(row['first_different_sample'])}). {CAUSES}",
            )
    first: dict[int, tuple[str, Sequence[int]]] = {}
    alike = [row for row in loaded if len(row["hashes"]) and configuration_key(row) not in found]
    for row in sorted(alike, key=lambda row: row["num_workers"]):
        mine: Sequence[int] = row["hashes"]
        reference, wanted = first.setdefault(int(row["batch_size"]), (_workers(row), mine))
        unequal = [number for number, (a, b) in enumerate(zip(wanted, mine, strict=False)) if a != b]
        if unequal:
            found.setdefault(
                configuration_key(row), f"delivered another batch {unequal[0]} than {reference} did. {CAUSES}"
            )
    return found


def judged(lives: pd.DataFrame) -> pd.DataFrame:
    """The rows, those of configurations that delivered something else (`other_deliveries`) failed for that reason."""
    others = other_deliveries(lives)
    if not others:
        return lives
    lives = lives.copy()
    for at, row in lives.iterrows():
        why = others.get(configuration_key(row))
        if why is not None and row["status"] == Status.COMPLETE:
            lives.loc[at, ["status", "error"]] = [FAILED, why]
    return lives


def _workers(row: Mapping[str, object]) -> str:
    return counted(int(str(row["num_workers"])), "worker")
