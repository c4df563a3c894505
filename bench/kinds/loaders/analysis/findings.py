"""The findings of a loader study as data: ratios with intervals, the choice for each batch size, the verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """The parts of the study's plan on which the analysis depends.

    Attributes:
        looks: Numbers of blocks after which decisions are made, ascending (`ratios.looks`).
        pairs: Pairs of configurations that are compared in the whole study (`ratios.pairs_of`).
        margin: Share of the fastest configuration's images/s by which a cheaper configuration may be slower.
        interval: Relative half width of a ratio's interval at which the ratio is known well enough.
        cores: CPU cores that the processes could use; None: unknown.
    """

    looks: tuple[int, ...]
    pairs: int
    margin: float = 0.03
    interval: float = 0.03
    cores: float | None = None


@dataclass(frozen=True)
class Ratio:
    """A speed divided by another, with its interval; above 1, the first is faster.

    ``low`` and ``high`` are None with too few blocks.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    """Blocks in which both were measured."""

    @property
    def differs(self) -> bool:
        """Whether the interval excludes 1: the two are shown to differ."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


@dataclass(frozen=True)
class Pick:
    """The choice for one batch size.

    Attributes:
        batch_size: Images in a batch.
        key: Key of the recommended configuration; of the best so far if the choice is not settled; "" if there is none.
        settled: Whether there were enough blocks to choose.
        fastest: Key of the configuration with the highest images/s.
        reference: Key of the configuration that all others are compared with.
        equal: Keys of configurations shown to be equal to the picked one within the margin.
        open: Keys of configurations of which it is unknown whether they are slower by more than the margin.
        recommended: The settings of ``key``.
        call: The ``DataLoader(...)`` call with these settings, or "".
        gain: Speed over PyTorch's defaults at this batch size; None if these have no result.
        loses_at_most: Largest share of images/s by which ``key`` may be slower than any other; None if unknown.
        disturbed: Keys of configurations that were faster than possible: their numbers cannot be trusted.
        why_not: Why nothing is recommended at this batch size, a sentence in Markdown; "" if something is.
    """

    batch_size: int
    key: str
    settled: bool
    fastest: str
    reference: str
    equal: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    recommended: dict[str, Any] | None = None
    call: str = ""
    gain: Ratio | None = None
    loses_at_most: float | None = None
    disturbed: tuple[str, ...] = ()
    why_not: str = ""


@dataclass(frozen=True)
class Variant:
    """The picked configuration with one setting changed."""

    setting: str
    value: object
    key: str
    ratio: Ratio
    """Speed over the picked configuration, in the blocks in which both were measured."""
    standing: str
    """`faster` (by more than the margin), `equal` (within the margin, both ways), `slower` (at all) or `open`."""
    epoch_gap_s: float
    """Seconds between two epochs with the variant; NaN if no epoch ended."""
    base_epoch_gap_s: float
    """Seconds between two epochs with the picked configuration."""


@dataclass(frozen=True)
class LoaderVerdict:
    """The verdict of a loader study.

    Attributes:
        configurations: A row for each configuration, fastest first (`verdict.loaders_verdict`).
        picks: The choice for each batch size, ascending.
        chosen: Key of the recommended configuration; "": none.
        recommended: Its settings, or None.
        call: The ``DataLoader(...)`` call to paste, or "".
        bottleneck: Bottleneck of the recommended configuration, see `model`.
        flips_at: Minimum number of workers from which training is not loader-bound, at the recommended batch size; None
            if not settled, or if no number suffices.
        knee: Number of workers from which more workers do not help; None if not settled.
        gain: Speed over PyTorch's defaults at the same batch size; None if these have no result.
        sentences: All findings in words, as Markdown.
        variants: Single settings varied around the picked configuration.
        why_not: Why nothing is recommended, in Markdown; "": something is.
        dropped, slices: Number of slices left out because other programs used the machine during them, and of all
            slices.
        others_share: Usual share of the machine that other programs used (median over the slices); NaN if unknown.
        margin: The planned margin; differences within it count as none.
    """

    configurations: pd.DataFrame
    picks: tuple[Pick, ...] = ()
    chosen: str = ""
    recommended: dict[str, Any] | None = None
    call: str = ""
    bottleneck: str = "unknown"
    flips_at: int | None = None
    knee: int | None = None
    limited: str = ""
    """Key of the configuration that ``bottleneck`` describes: the chosen one or, if that is a variant with an unknown
    bottleneck, the configuration that it varies."""
    gain: Ratio | None = None
    sentences: Sequence[str] = ()
    variants: tuple[Variant, ...] = ()
    why_not: str = ""
    dropped: int = 0
    slices: int = 0
    others_share: float = float("nan")
    margin: float = 0.03

    @property
    def text(self) -> str:
        """All sentences as one paragraph, in Markdown."""
        return " ".join(self.sentences)

    @cached_property
    def pick(self) -> Pick | None:
        """The choice for the recommended batch size; None if nothing is recommended."""
        if not self.chosen:
            return None
        size = int(self.configuration(self.chosen)["batch_size"])
        return next(each for each in self.picks if each.batch_size == size)

    @cached_property
    def complete(self) -> pd.DataFrame:
        """The configurations with a result, fastest first."""
        frame = self.configurations
        return frame[frame["n"] > 0] if len(frame) else frame

    def configuration(self, key: str) -> pd.Series:
        """Return the row of the configuration with this key."""
        return self.configurations.iloc[self._row_numbers[key]]

    @cached_property
    def _row_numbers(self) -> dict[str, int]:
        """The number of each configuration's row (the first of those with the key), by key."""
        keys = list(self.configurations["key"])
        return {keys[number]: number for number in reversed(range(len(keys)))}
