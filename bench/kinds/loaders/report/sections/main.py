"""The main page of a loader study: speeds, numbers of workers, waits."""

from functools import partial

from bench.kinds.loaders.analysis.claims import speed_text
from bench.kinds.loaders.report import figures
from bench.kinds.loaders.report.forest import Row, forest, groups
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.report.tables import has_several_sizes, main_table, shown_rows, size_table
from bench.report.findings import Drawing, Part, Section
from bench.report.prose import linked
from bench.report.text import code

CONFIGURATIONS = "configurations.csv"
SPEEDS, HEAT_MAP, KNEE, WAITS = "speeds.png", "heat-map.png", "knee.png", "waits.png"


def speeds_figure(result: LoaderResult) -> Drawing | None:
    """Return the figure of the first screen; None if no configuration is recommended."""
    shown = groups(result)
    if not shown:
        return None
    text = "; ".join(f"{group.title}: {', '.join(map(_row_text, group.rows))}" for group in shown)
    alt = f"Images per second of each configuration as a share of the fastest at its batch size: {text}"
    return Drawing(SPEEDS, alt, partial(forest, result))


def _row_text(row: Row) -> str:
    note = f", {row.note}" if row.note else ""
    return f"{row.name} {row.share:.0f} % ({speed_text(row.images_per_s)}{note})"


def sizes(result: LoaderResult) -> list[Section]:
    """Return the table of what to use with each batch size; empty if only one was measured."""
    table = size_table(result)
    if table is None:
        return []
    text = (
        "*Times the default*: images/s relative to no workers, unpinned, at the same batch size, with 95 % "
        "interval. Where *settled* is no, *use* is the best so far."
    )
    return [Section("For each batch size", [table, text])]


def configurations(result: LoaderResult) -> list[Section]:
    """Return the main table, and the heat map if it shows more; empty before a measurement."""
    table = main_table(result)
    if not table.rows:
        return []
    parts: list[Part] = [table, f"{_table_text(result)}{_rest(result)}"]
    if figures.has_heat_map(result):
        alt = "Images per second by number of workers and batch size, what to use with each batch size framed"
        parts += [
            Drawing(HEAT_MAP, alt, partial(figures.heat_map, result)),
            "Framed: what to use with each batch size.",
        ]
    return [Section("Configurations", parts)]


def _table_text(result: LoaderResult) -> str:
    if result.complete.empty:
        return ""
    rows = shown_rows(result)
    size = "" if has_several_sizes(rows) else f"Batches of {rows[0]['batch_size']}. "
    images = f"{size}Images/s of {'training' if result.computes else 'loading'}"
    own = f" Own loader: {code(result.spec.loader)}." if result.spec.loader else ""
    varied = "; for a varied setting, relative to the configuration that it varies" if result.verdict.variants else ""
    margin = f"{100 * result.verdict.margin:g} %"
    at_all = " (a varied setting: by any amount)" if result.verdict.variants else ""
    best = "" if all(pick.settled for pick in result.verdict.picks) else ", *best*: so far, not settled"
    return (
        f"{images}, ± the wider side of the 95 % interval. *% of fastest*: relative to the fastest at the same batch "
        f"size, measured side by side{varied}. *Within*: at most {margin} slower, *slower*: by more than "
        f"that{at_all}, *open*: not settled in the time given{best}. *Waits*: share of the time spent waiting for "
        f"data.{own} "
    )


def _rest(result: LoaderResult) -> str:
    more = int((result.configurations["status"] != "missing").sum()) - len(shown_rows(result))
    others = f"{more} more in the appendix. " if more else ""
    return f"{others}Unrounded: {linked(CONFIGURATIONS)}."


def workers(result: LoaderResult) -> list[Section]:
    """Return the figure of speed against the number of workers; empty if only one was measured."""
    if not figures.has_knee(result):
        return []
    alt = "Images per second of training against the number of workers; behind it loading alone and computing alone"
    text = (
        "Training can be no faster than *loading alone* or *computing alone*. *Modelled*: what both allow together "
        "on the cores that they share. Numbers with an arrow lie above the axis."
    )
    notes = [text] if result.computes else []
    return [Section("How many workers", [Drawing(KNEE, alt, partial(figures.knee, result)), *notes])]


def waits(result: LoaderResult) -> list[Section]:
    """Return the figure of how long batches are waited for; empty unless waits are known for several numbers of
    workers."""
    if not figures.has_waits(result):
        return []
    alt = "Share of the batches that are waited for longer than so many milliseconds, by number of workers"
    size = (result.verdict.recommended or {})["batch_size"]
    text = f"Batches of {size}, without the first batch of each epoch; median over the blocks."
    return [Section("How long a batch is waited for", [Drawing(WAITS, alt, partial(figures.waits, result)), text])]
