"""Counts of labelled images in the splits of a study, and warnings if they are too few for a meaningful score."""

from collections.abc import Mapping

FEW = 20
"""Labelled images below which a score says little: of 20 images a single wrong one moves AP by about 0.05."""
ROLES = ("train", "select", "report")
"""Splits of a study in the order of listing: it trains on `train`, selects by `select`, and reports scores on `report`.
"""


def count_summary(images: Mapping[str, int]) -> str:
    """Return counts of labelled images by split: `train 26 labelled images, select 2, report 17`; empty if none."""
    named = [(name, images[name]) for name in ROLES if name in images]
    parts = [f"{name} {count}" for name, count in named]
    if parts:
        parts[0] += " labelled image" if named[0][1] == 1 else " labelled images"
    return ", ".join(parts)


def few_images_warnings(images: Mapping[str, int]) -> dict[str, str]:
    """Return split -> warning, for splits with fewer than ``FEW`` labelled images."""
    purpose = {"train": "to learn from", "select": "to choose settings by", "report": "to report a score on"}
    few = {name: f"{count} labelled image{'' if count == 1 else 's'}" for name, count in images.items() if count < FEW}
    return {name: f"{name} has {has} {purpose[name]}: fewer than {FEW} tell little" for name, has in few.items()}
