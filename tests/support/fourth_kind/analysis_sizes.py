"""Analyse the records of a study of the kind `sizes`."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.report.findings import Chart, DataFile, Draw, Findings, Plot, Section, Series, Table
from bench.report.text import literal


def sizes_findings(study: Mapping[str, Any], records: pd.DataFrame) -> Findings:
    """Mean AP at each size."""
    complete = records[records["status"] == "complete"] if len(records) else records
    means = complete.groupby("size", as_index=False)[["ap", "images_per_s"]].mean()
    if not len(means):
        return Findings("No training is complete yet.", [])
    best = means.loc[means["ap"].idxmax()]
    rows = [[f"{size:.0f}", f"{ap:.3f}"] for size, ap in zip(means["size"], means["ap"], strict=True)]
    line = Series("", list(means["size"]), list(means["ap"]), Draw.LINE)
    return Findings(
        answer=f"Use {best['size']:.0f} px: AP {best['ap']:.3f} with {literal(study['network'])}.",
        sections=[Section("AP by size", [Table(("size", "AP"), rows)])],
        sureness=f"Means over {study['seeds']} seeds.",
        figure=Chart("sizes.png", "AP against input size", [Plot("input size (px)", "AP", [line])]),
        document={"sizes": means},
        tables_csv={"sizes.csv": DataFile(means, "a row for each size")},
    )
