"""The main page of a loader study: speeds, numbers of workers, waits."""

from functools import partial

from bench.kinds.loaders.analysis.claims import speed_text
from bench.kinds.loaders.report import figures
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.report.tables import main_table, shown_rows
from bench.report.findings import Chart, Drawing, Part, Section
from bench.report.prose import linked

CONFIGURATIONS = "configurations.csv"
SPEEDS, HEAT_MAP, KNEE, WAITS = "speeds.png", "heat-map.png", "knee.png", "waits.png"


def speeds_chart(result: LoaderResult) -> Chart | None:
    """The figure of the first screen; None where no configuration can be recommended."""
    panel = figures.speeds_panel(result)
    if panel is None:
        return None
    shown = (
        f"{name}: {speed_text(middle)}{f' ({note})' if note else ''}"
        for name, middle, note in zip(panel.names, panel.middle, panel.notes, strict=True)
    )
    alt = f"Images per second of each configuration with its 95 % interval: {'; '.join(shown)}"
    return Chart(SPEEDS, alt, [panel])


def configurations(result: LoaderResult) -> list[Section]:
    """The main table and the heat map; none before a measurement."""
    table = main_table(result)
    if not table.rows:
        return []
    images = "Images/s of training" if result.computes else "Images/s of loading"
    text = (
        f"{images}: median over fresh processes with its 95 % interval. *Waiting*: share of the time spent waiting for "
        "data. What is not named has PyTorch's default. "
    )
    parts: list[Part] = [table, f"{text if len(result.verdict.complete) else ''}{_rest(result)}"]
    if figures.has_heat_map(result):
        alt = "Images per second by number of workers and batch size, the recommendation framed"
        framed = ["Framed: the recommendation."] if result.verdict.chosen else []
        parts += [Drawing(HEAT_MAP, alt, partial(figures.heat_map, result)), *framed]
    return [Section("Configurations", parts)]


def _rest(result: LoaderResult) -> str:
    more = int((result.configurations["status"] != "missing").sum()) - len(shown_rows(result))
    others = f"{more} more in the appendix. " if more else ""
    return f"{others}Unrounded: {linked(CONFIGURATIONS)}."


def workers(result: LoaderResult) -> list[Section]:
    """Speed against the number of workers; none where only one was measured."""
    if not figures.has_knee(result):
        return []
    alt = "Images per second against the number of workers: training, loading alone, computing alone"
    text = "Training as fast as *loading alone* is limited by loading, as fast as *computing alone* by computing."
    lost = " What is missing to the dotted line is lost to sharing this machine's cores."
    said = [text + (lost if figures.shows_limit(result) else "")] if result.computes else []
    return [Section("How many workers", [Drawing(KNEE, alt, partial(figures.knee, result)), *said])]


def waits(result: LoaderResult) -> list[Section]:
    """How long batches are waited for; none where it is known of one number of workers at most."""
    if not figures.has_waits(result):
        return []
    alt = "Share of the batches that are waited for longer than so many milliseconds, by number of workers"
    size = (result.verdict.recommended or {})["batch_size"]
    text = f"Batches of {size}, without an epoch's first one; the median over the repeats."
    return [Section("How long a batch is waited for", [Drawing(WAITS, alt, partial(figures.waits, result)), text])]
