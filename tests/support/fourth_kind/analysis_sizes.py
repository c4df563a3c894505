"""What the records of a sizes study say."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.report.findings import Chart, DataFile, Draw, Findings, Plot, Section, Series, Table


def sizes_findings(study: Mapping[str, Any], records: pd.DataFrame) -> Findings:
    """Mean AP at each size."""
    complete = records[records["status"] == "complete"] if len(records) else records
    means = complete.groupby("size", as_index=False)[["ap", "images_per_s"]].mean()
    best = means.loc[means["ap"].idxmax(), "size"] if len(means) else None
    rows = [[str(row.size_), f"{row.ap:.3f}"] for row in means.rename(columns={"size": "size_"}).itertuples()]
    chart = Chart(
        file="sizes.png",
        alt="AP against input size",
        panels=[Plot("input size (px)", "AP", [Series("", list(means["size"]), list(means["ap"]), Draw.LINE)])],
    )
    return Findings(
        answer=f"{study['network']} has its highest AP at {best} px." if best else "No training is complete yet.",
        sections=[Section("AP by size", [Table(("size", "AP"), rows), chart])],
        document={"sizes": means},
        tables_csv={"sizes.csv": DataFile(means, "a row for each size")},
    )
