"""Format comparisons of a part's speed with a yardstick's as the cells of a table, for the terminal and for pages."""

from typing import Any

from bench.speed.compare import Row


def heading() -> tuple[str, ...]:
    """Return the column names of the table."""
    return ("what", "ms", "yardstick", "its ms", "ratio", "95 % interval", "asked", "spread", "threads")


def cells(row: Row) -> list[str]:
    """Return the cells of one comparison, in the order of ``heading``."""
    return [
        row.name,
        _number(row.median_ms),
        row.yardstick,
        _number(row.yardstick_ms),
        f"{row.ratio:.3g}",
        f"{row.low:.3g} to {row.high:.3g}",
        "-" if row.max_ratio is None else f"<= {row.max_ratio:g}",
        f"{100 * row.spread:.0f} %",
        str(row.threads),
    ]


def facts_line(row: Row) -> str:
    """Return the facts of a comparison on one line."""
    return ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in row.facts.items())


def _number(milliseconds: float) -> str:
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_plain(each)}" for key, each in value.items()) + ")"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
