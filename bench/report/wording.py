"""Format numbers for sentences: scores with intervals, p values, counts, durations, lists."""

import math
from typing import Any

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def scored_text(name: str, mean: float, low: float, high: float) -> str:
    """Return ``adam 0.520 [0.501, 0.540]``; without the interval if its ends are not known."""
    text = f"{name} {ap_text(mean)}"
    return text if math.isnan(low) else f"{text} [{ap_text(low)}, {ap_text(high)}]"


def ap_text(value: float) -> str:
    """Return an AP or a difference of APs with three decimals."""
    return f"{value:.3f}"


def loss_text(value: float | None) -> str:
    """Return a validation loss with four digits; `-` if it is not known."""
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


def p_text(value: float, alpha: float = 0.0) -> str:
    """Return ``= 0.41``, ``= 0.012`` or ``< 0.001``; a p above ``alpha`` is never rounded down to it."""
    if value > alpha > 0 and round(value, 3) == alpha:
        return f"> {alpha}"
    if value < 0.001:
        return "< 0.001"
    return f"= {value:.3f}" if value < 0.1 else f"= {value:.2f}"


def enumerate_items(items: list[str], *, last: str = "and") -> str:
    """Return ``a``, ``a and b`` or ``a, b and c``; ``last``: the word before the last one."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 seed`, `5 seeds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def value_text(value: Any) -> str:
    """Return a hyperparameter's value in short: `0.0031`, `(0.9, 0.999)`, `true`, `original`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(value_text, value))})"
    return f"{value:.3g}" if isinstance(value, (int, float)) else str(value)


def duration_text(seconds: float) -> str:
    """Return seconds in at most two units: `42 s`, `12 min`, `3 h 20 min`, `2 days 4 h`."""
    if round(seconds) < MINUTE_S:
        return f"{round(seconds)} s"
    minutes = round(seconds / MINUTE_S)
    if minutes < HOUR_S // MINUTE_S:
        return f"{minutes} min"
    if minutes < DAY_S // MINUTE_S:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    hours = round(seconds / HOUR_S)
    days = f"{hours // 24} day" + ("s" if hours >= 48 else "")
    return f"{days} {hours % 24} h" if hours % 24 else days


def in_one_line(command: str) -> str:
    """Join a command of several lines into one, for a document."""
    return command.replace(" \\\n    ", " ")
