"""Write the results of `posebench speed` as a Markdown page and as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path

from bench.report.text import cell, literal
from bench.speed.everything import Speed
from bench.speed.report import cells, facts_line, heading
from posemodel.atomic_write import atomic_path

DOCUMENT = "speed.json"
REPORT = "report.md"


def write_speed_report(speed: Speed, folder: Path) -> Path:
    """Write report.md and speed.json, each completely or not at all; return the path of report.md."""
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / REPORT
    for path, text in (
        (folder / DOCUMENT, json.dumps(speed.as_document(), indent=2, allow_nan=False) + "\n"),
        (report, _markdown(speed)),
    ):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return report


def _markdown(speed: Speed) -> str:
    lines = [
        "# Speed against yardsticks",
        "",
        "Ours and the yardstick take turns; times are medians over the repeats,",
        "the ratio is ours over the yardstick (smaller is better), its interval a bootstrap over repeats, the spread",
        "the interquartile range of the repeats' ratios.",
        "",
        *_table(heading(), [cells(row) for row in speed.rows]),
        "",
    ]
    for row in speed.rows:
        if row.facts:
            lines += [f"- **{literal(row.name)}** ({row.repeats} repeats): {literal(facts_line(row))}"]
    lines += [f"- {literal(what)}: {literal(why)}" for what, why in speed.skipped.items()]
    lines += [f"- {literal(what)} FAILED: {literal(why)}" for what, why in speed.failed.items()]
    lines += ["", "## Machine", "", *_table(("", ""), [[k, v] for k, v in speed.machine.items()]), ""]
    return "\n".join(lines)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(columns), _line(["---"] * len(columns)), *(_line(list(map(cell, row))) for row in rows)]


def _line(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"
