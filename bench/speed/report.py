"""Speed as text: the table of the terminal and of report.md."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.speed.compare import Row
from posemodel.atomic_write import replacing

if TYPE_CHECKING:
    from bench.speed.everything import Speed

DOCUMENT = "speed.json"
REPORT = "report.md"


def heading() -> tuple[str, ...]:
    """Column names of the table."""
    return ("what", "ms", "yardstick", "its ms", "ratio", "95 % interval", "asked", "spread", "threads")


def cells(row: Row) -> list[str]:
    """One comparison as cells under ``heading``."""
    return [
        row.name,
        _number(row.median_ms),
        row.yardstick,
        _number(row.yardstick_ms),
        f"{row.ratio:.3g}",
        f"{row.low:.3g} to {row.high:.3g}",
        "-" if row.asked is None else f"<= {row.asked:g}",
        f"{100 * row.spread:.0f} %",
        str(row.threads),
    ]


def facts_line(row: Row) -> str:
    """What else was found, on one line."""
    return ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in row.facts.items())


def write_speed_report(found: "Speed", folder: Path) -> Path:
    """Write report.md and speed.json, each whole or not at all; returns the path of report.md."""
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / REPORT
    for path, text in (
        (folder / DOCUMENT, json.dumps(found.as_document(), indent=2, allow_nan=False) + "\n"),
        (report, _markdown(found)),
    ):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return report


def _markdown(found: "Speed") -> str:
    lines = [
        "# Speed against yardsticks",
        "",
        "Ours and the yardstick take turns; times are medians over the repeats,",
        "the ratio is ours over the yardstick (smaller is better), its interval a bootstrap over repeats, the spread",
        "the interquartile range of the repeats' ratios.",
        "",
        *_table(heading(), [cells(row) for row in found.rows]),
        "",
    ]
    for row in found.rows:
        if row.facts:
            lines += [f"- **{row.name}** ({row.repeats} repeats): {facts_line(row)}"]
    lines += [f"- {what}: {why}" for what, why in found.skipped.items()]
    lines += [f"- {what} FAILED: {why}" for what, why in found.failed.items()]
    lines += ["", "## Machine", "", *_table(("", ""), [[k, v] for k, v in found.machine.items()]), ""]
    return "\n".join(lines)


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    return [_line(columns), _line(["---"] * len(columns)), *(_line(row) for row in rows)]


def _line(row: Any) -> str:
    return f"| {' | '.join(row)} |"


def _number(milliseconds: float) -> str:
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_plain(each)}" for key, each in value.items()) + ")"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
