"""Amount of labelled data behind a study's numbers, and annotations that were not read as they are written."""

from typing import Any

import pandas as pd

from posemodel.data.labelled_counts import count_summary, few_images_warnings
from posemodel.data.notes import METRIC
from posemodel.skeleton import DEFAULT_SIGMA

_TRAINED, _SCORED = "labelled_train_images", "labelled_val_images"
DERIVED = {
    "skeleton-limbs": "limbs were derived, or read in another way than COCO's",
    "skeleton-mirror": "pictures are not flipped, or not by the names",
    "skeleton-sigmas": (
        f"OKS sigmas, on which AP depends, are COCO's for points with its names and {DEFAULT_SIGMA} (OpenPifPaf's for "
        "cars) for all others"
    ),
}
"""Kind of a note on a skeleton -> what it says, for reports."""
_CONFIRM = "confirm"
"""Phase whose trials are scored on `report`; all others are scored on `select`."""


def labelled_images(records: pd.DataFrame) -> dict[str, int]:
    """Return the number of images with labelled people by split, as counted by the trials.

    Empty for records of other workloads.
    """
    if not {"phase", _TRAINED, _SCORED} <= {*records}:
        return {}
    counts = records[["phase", _TRAINED, _SCORED]].dropna()
    if counts.empty:
        return {}
    images = {"train": int(counts[_TRAINED].max())}
    for split, rows in (("select", counts["phase"] != _CONFIRM), ("report", counts["phase"] == _CONFIRM)):
        if rows.any():
            images[split] = int(counts.loc[rows, _SCORED].max())
    return images


def read_differently(records: pd.DataFrame) -> dict[str, int]:
    """Return the number of entries that were read differently than they are written, by kind of note.

    This is the largest count of any trial; a trial's count covers `train` and the split that it was scored on.
    """
    kinds = [name for name in records if str(name).startswith(METRIC)]
    most = records[kinds].max() if kinds else pd.Series(dtype=float)
    return {str(name).removeprefix(METRIC).replace("_", "-"): int(count) for name, count in most.dropna().items()}


def evidence_document(records: pd.DataFrame) -> dict[str, Any]:
    """Return the evidence keys of a study's JSON document; none for records of other workloads."""
    images = labelled_images(records)
    return {"labelled_images": images, "read_differently": read_differently(records)} if images else {}


def few_images(records: pd.DataFrame) -> str:
    """Return a warning for each split with too few labelled images; empty if there is none."""
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in few_images_warnings(labelled_images(records)).values())


def evidence_lines(records: pd.DataFrame) -> list[str]:
    """Return paragraphs of a report: labelled images by split, a warning if they are few, entries read differently."""
    images = labelled_images(records)
    if not images:
        return []
    lines = [" ".join([f"Labelled data: {count_summary(images)}.", few_images(records)]).strip()]
    read = read_differently(records)
    derived = [text for kind, text in DERIVED.items() if read.pop(kind, 0)]
    if derived:
        lines.append(f"The data set leaves its skeleton open: {'; '.join(derived)}. `posebench data check` shows it.")
    if read:
        kinds = ", ".join(f"{kind} {count}" for kind, count in read.items())
        lines.append(f"Annotations read differently than written: {kinds}. `posebench data check` explains each.")
    return lines
