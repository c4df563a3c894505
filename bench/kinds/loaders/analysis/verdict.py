"""A loader study's result: what holds training back, which settings to take, what they gain, and every other claim."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.around import best_variant, of_phase, variants
from bench.kinds.loaders.analysis.bottleneck import (
    LOADER_BOUND,
    MEMORY_BOUND,
    WORKER_SETTINGS,
    add_bottlenecks,
    alike,
    flips_at,
    knee,
    worker_curve,
)
from bench.kinds.loaders.analysis.choice import (
    USUAL_CV2_THREADS,
    Gain,
    cheapest_of_the_best,
    default_configuration,
    fastest,
    gain,
)
from bench.kinds.loaders.analysis.claims import (
    NO_STEP,
    SCOPE,
    around_sentences,
    border_sentences,
    bound_sentence,
    choice_sentence,
    fault_sentences,
    gain_sentences,
    knee_sentences,
    limit_sentences,
    noise_sentences,
    straggler_sentences,
    threads_sentences,
)
from bench.kinds.loaders.analysis.configurations import END_TO_END, pool_pinning, summarize_configurations
from bench.kinds.loaders.phases import GRID
from bench.report.dataloader_call import dataloader_call
from bench.report.no_result import REMEDIES, nothing_found
from bench.report.text import literal
from bench.trials.loader_settings import chosen_settings
from bench.trials.status import Status

MEMORY_FAULTS = ("skipped", "out_of_memory", "bus_error")
REMEDIES_HERE = REMEDIES | {
    "failed": "Mend the cause, then measure anew under another name (`posebench study loaders --name NAME`): what is "
    "recorded is not measured again.",
    "timed_out": "Raise stall_s in a study file, or see what the data set waits for.",
}
"""What to do where no measurement has a result, by their status."""
NOTHING_YET = "Nothing is recommended yet: no configuration has been measured."
NOTHING_COMPLETED = "Nothing is recommended: no configuration completed."
UNLIKE = (
    "Nothing is recommended: samples differ each time they are made, so that speeds cannot be compared. Make them "
    "repeatable, or say that they are random by design (`--random-samples`)."
)


@dataclass(frozen=True)
class LoaderVerdict:
    """What a loader study found.

    Attributes:
        configurations: The summary that everything below was read from, fastest first (`add_bottlenecks`).
        recommended: The settings to take, or None where nothing completed.
        call: The ``DataLoader(...)`` call to paste, or "".
        bottleneck: What the recommended configuration waits for: `loader-bound`, `compute-bound`, `balanced`,
            `memory-bound` (loader-bound, and more workers did not fit into memory) or `unknown`.
        flips_at: From how many workers on training is not loader-bound, at the recommended batch size.
        knee: From how many workers on more do not help.
        gain: Over PyTorch's defaults at the same batch size; None where those were not measured.
        sentences: All of it in words, as Markdown.
        noise: The machine's spread (relative).
        noisy: Whether that is too much for a quiet machine.
        chosen: Key of the recommended configuration; "": none.
        defaults: Key of PyTorch's defaults at the recommended batch size; "": not measured.
        tied: Keys of the grid's combinations that cannot be told apart from its fastest, fastest first.
        tried: Keys of what was varied around the best combination.
        why_not: Why nothing is recommended, in Markdown; "": something is.
    """

    configurations: pd.DataFrame
    recommended: dict[str, Any] | None
    call: str
    bottleneck: str
    flips_at: int | None
    knee: int | None
    gain: Gain | None
    sentences: Sequence[str]
    noise: float = 0.0
    noisy: bool = False
    chosen: str = ""
    defaults: str = ""
    tied: Sequence[str] = ()
    tried: Sequence[str] = ()
    why_not: str = ""

    @property
    def text(self) -> str:
        """One paragraph, in Markdown."""
        return " ".join(self.sentences)

    @property
    def complete(self) -> pd.DataFrame:
        """The configurations with a result, fastest first."""
        frame = self.configurations
        return frame[frame["status"] == Status.COMPLETE] if len(frame) else frame

    def configuration(self, key: str) -> pd.Series:
        """The configuration of a key."""
        return row_of(self.configurations, key)

    def leading(self, most: int) -> pd.DataFrame:
        """The fastest complete configurations, at most so many; the recommended one and the defaults always there."""
        frame = self.complete
        if len(frame) <= most:
            return frame
        named = frame["key"].isin([self.chosen, self.defaults])
        others = frame[~named].head(most - int(named.sum()))
        return frame[named | frame.index.isin(others.index)]


def loaders_verdict(
    rows: pd.DataFrame,
    *,
    noise: float = 0.0,
    noisy: bool = False,
    pinning_idle: str = "",
    has_step: bool = True,
    different: Sequence[str] = (),
    left: int = 0,
) -> LoaderVerdict:
    """Read the answer from a study's measurements.

    Args:
        rows: See `summarize_configurations`; also ``effective_pin_memory`` and ``device``.
        noise: The machine's spread (relative), as `bench.measure.noise` found it: smaller differences are noise.
        noisy: Whether that is too much for a quiet machine.
        pinning_idle: Why pinned memory, which was asked for, could have no effect here and was not measured.
        has_step: Whether something is computed; else only loading was measured, and nothing can hide it.
        different: Sentences of `delivery.unrepeatable`: speeds of different work are not compared.
        left: Measurements that are still to be made.
    """
    rows, pinning = pool_pinning(rows)
    pinning = pinning_idle or pinning
    frame = add_bottlenecks(summarize_configurations(rows), noise=noise) if len(rows) else pd.DataFrame()
    base = best_of_grid(rows, noise=noise)
    closing = [*noise_sentences(noise, noisy=noisy), *([pinning] if pinning else []), SCOPE]

    def nothing(why_not: str, *told: str) -> LoaderVerdict:
        sentences = [*told, *closing]
        return LoaderVerdict(
            frame, None, "", "unknown", None, None, None, sentences, noise=noise, noisy=noisy, why_not=why_not
        )

    if different:
        said = "The configurations delivered different batches: nothing can be compared."
        return nothing(UNLIKE, said, *map(literal, different))
    if base is None:
        why = _why_nothing(rows, left)
        said = "No configuration completed: there is nothing to recommend."
        why_not = f"Nothing is recommended. {why}" if why else NOTHING_YET if left else NOTHING_COMPLETED
        return nothing(why_not, *([why] if why else []), said, *fault_sentences(frame))
    base = row_of(frame, base["key"])
    tried = variants(rows, frame, base)
    better = best_variant(tried, noise=noise)
    chosen = base if better is None else row_of(frame, better.key)
    curve = _curve(frame, chosen)
    bound = _bound(frame, chosen) if has_step else LOADER_BOUND
    defaults = default_configuration(frame, chosen)
    won = None if defaults is None else gain(rows, chosen, defaults)
    flip, bend = flips_at(curve), knee(curve, noise=noise)
    grid = frame[frame["key"].isin(summarize_configurations(of_phase(rows, GRID))["key"])]
    sentences = [
        bound_sentence(bound, chosen, flip, frame) if has_step else NO_STEP,
        choice_sentence(grid, base, noise),
        *around_sentences(tried, better, chosen),
        *gain_sentences(won, chosen, defaults, noise),
        *knee_sentences(bend, curve, bound),
        *limit_sentences(chosen, noise),
        *straggler_sentences(chosen),
        *border_sentences(chosen, tried),
        *threads_sentences(chosen),
        *fault_sentences(frame),
        *closing,
    ]
    return LoaderVerdict(
        frame,
        chosen_settings(chosen),
        dataloader_call(chosen),
        bound,
        flip,
        bend,
        won,
        sentences,
        noise=noise,
        noisy=noisy,
        chosen=str(chosen["key"]),
        defaults="" if defaults is None else str(defaults["key"]),
        tied=_tied(grid, noise),
        tried=[each.key for each in tried],
    )


def best_of_grid(rows: pd.DataFrame, *, noise: float) -> pd.Series | None:
    """The cheapest of the fastest combinations of the grid, a row of its summary; None where none is complete.

    What the around phase is laid around, and what the answer begins with: the two must be the same.
    """
    summary = summarize_configurations(of_phase(rows, GRID)) if len(rows) else pd.DataFrame()
    return cheapest_of_the_best(summary, noise=noise) if len(summary) else None


def row_of(frame: pd.DataFrame, key: str) -> pd.Series:
    """The configuration of a key."""
    return frame[frame["key"] == key].iloc[0]


def _why_nothing(rows: pd.DataFrame, left: int) -> str:
    """How all measurements, or all of training, ended without a result, and what to do; empty before there is any."""
    why = nothing_found(rows, noun="measurement", left=left, remedies=REMEDIES_HERE)
    trained = rows[rows["arm"] == END_TO_END] if len(rows) else rows
    return why or nothing_found(trained, noun="training loop", left=left, remedies=REMEDIES_HERE)


def _tied(grid: pd.DataFrame, noise: float) -> list[str]:
    best = fastest(grid)
    assert best is not None
    complete = grid[grid["status"] == Status.COMPLETE]
    return [str(row["key"]) for _, row in complete.iterrows() if alike(row, best, noise=noise)]


def _curve(frame: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    """The worker curve of the chosen one; of PyTorch's defaults where its own settings were tried with it alone."""
    own = worker_curve(frame, chosen)
    plain = chosen.copy()
    plain[list(WORKER_SETTINGS)] = None
    plain["cv2_threads"] = USUAL_CV2_THREADS
    grid = worker_curve(frame, plain)
    return grid if len(grid) > len(own) else own


def _bound(frame: pd.DataFrame, chosen: pd.Series) -> str:
    """The chosen one's bottleneck; memory where it is loader-bound and what would load faster did not fit."""
    if chosen["bottleneck"] != LOADER_BOUND:
        return str(chosen["bottleneck"])
    more = frame[(frame["num_workers"] > chosen["num_workers"]) & (frame["batch_size"] == chosen["batch_size"])]
    unfit = more["status"].isin(MEMORY_FAULTS)
    return MEMORY_BOUND if unfit.any() and not (more["status"] == Status.COMPLETE).any() else LOADER_BOUND
