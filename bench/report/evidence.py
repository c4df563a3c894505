"""How much data a study's numbers rest on, and what of it was read differently, as its trials counted it."""

from typing import Any

import pandas as pd

from posemodel.data.evidence import told, warnings
from posemodel.data.notes import METRIC

_TRAINED, _SCORED = "labelled_train_images", "labelled_val_images"
_CONFIRM = "confirm"
"""The phase whose trials are scored on `report`; all others are on `select`."""


def labelled_images(records: pd.DataFrame) -> dict[str, int]:
    """Images with labelled people by split, as far as a trial has counted them; empty for other workloads' records."""
    if not {"phase", _TRAINED, _SCORED} <= {*records}:
        return {}
    counts = records[["phase", _TRAINED, _SCORED]].dropna()
    if counts.empty:
        return {}
    found = {"train": int(counts[_TRAINED].max())}
    for split, rows in (("select", counts["phase"] != _CONFIRM), ("report", counts["phase"] == _CONFIRM)):
        if rows.any():
            found[split] = int(counts.loc[rows, _SCORED].max())
    return found


def read_differently(records: pd.DataFrame) -> dict[str, int]:
    """Entries by kind of note: in `train` and the split of a trial that has most of them."""
    kinds = [name for name in records if str(name).startswith(METRIC)]
    most = records[kinds].max() if kinds else pd.Series(dtype=float)
    return {str(name).removeprefix(METRIC).replace("_", "-"): int(count) for name, count in most.dropna().items()}


def evidence_document(records: pd.DataFrame) -> dict[str, Any]:
    """The keys of a study's JSON document; none for other workloads' records."""
    images = labelled_images(records)
    return {"labelled_images": images, "read_differently": read_differently(records)} if images else {}


def few_images(records: pd.DataFrame) -> str:
    """A sentence for each split with so few labelled images that it tells little; empty where there is none."""
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in warnings(labelled_images(records)).values())


def evidence_lines(records: pd.DataFrame) -> list[str]:
    """Paragraphs of a report: the labelled images by split, a warning where they are few, what was read differently."""
    images = labelled_images(records)
    if not images:
        return []
    lines = [" ".join([f"How much the data can tell: {told(images)}.", few_images(records)]).strip()]
    if read := read_differently(records):
        kinds = ", ".join(f"{kind} {count}" for kind, count in read.items())
        lines.append(f"Read in another way than it stands there: {kinds}. `posebench data check` says each in words.")
    return lines
