"""The findings of a loader study as data: ratios with intervals, the choice for each batch size, the whole verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """What was planned, as far as the analysis depends on it.

    Attributes:
        looks: Numbers of blocks after which anything is decided, ascending (`ratios.looks`).
        pairs: Pairs of configurations that are compared in the whole study (`ratios.pairs_of`).
        margin: Share of the fastest configuration's images/s that the cheapest may lose.
        interval: Half width (relative) at which a ratio is known well enough.
        cores: CPU cores that the processes could use; None: not known.
    """

    looks: tuple[int, ...]
    pairs: int
    margin: float = 0.03
    interval: float = 0.03
    cores: float | None = None


@dataclass(frozen=True)
class Ratio:
    """Speed over speed: above 1, the first is faster. ``low`` and ``high`` are None where too few blocks tell."""

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
        key: Of the configuration that is taken; of the best so far where the choice is not settled; "" without one.
        settled: Whether the blocks were enough to choose.
        fastest: Key of the configuration with the most images/s.
        reference: Key of the one that all others are compared with.
        equal: Keys of configurations shown to be equal to the picked one within the margin.
        open: Keys of which it is not known whether they lose more than the margin.
        recommended: The settings of ``key``.
        call: The ``DataLoader(...)`` call of them, or "".
        gain: Over PyTorch's defaults at this batch size; None where these have no result.
        loses_at_most: Share of images/s that ``key`` surely loses at most to any other; None where that is not known.
        disturbed: Keys of configurations that were faster than possible: their figures cannot be trusted.
        why_not: Why nothing is taken, a sentence in Markdown; "": something is.
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
    """The picked configuration but for one setting."""

    setting: str
    value: object
    key: str
    ratio: Ratio
    """Over the picked configuration, in the blocks in which both were measured."""
    standing: str
    """`faster` (by more than the margin), `equal` (within the margin, both ways), `slower` (at all) or `open`."""
    epoch_gap_s: float
    """Border of two epochs with it, and with the picked configuration; NaN where there was none."""
    base_epoch_gap_s: float


@dataclass(frozen=True)
class LoaderVerdict:
    """The result of a loader study.

    Attributes:
        configurations: A row for each configuration, fastest first (`verdict.loaders_verdict`).
        picks: The choice for each batch size, ascending.
        chosen: Key of the recommended configuration; "": none.
        recommended: Its settings, or None.
        call: The ``DataLoader(...)`` call to paste, or "".
        bottleneck: Of the recommended configuration, see `model`.
        flips_at: Fewest workers from which on training is not loader-bound, at the recommended batch size; None where
            that is not settled, or never so.
        knee: Fewest workers from which on more do not help; None where that is not settled.
        gain: Over PyTorch's defaults at the same batch size; None where these have no result.
        sentences: All findings in words, as Markdown.
        variants: Single settings varied around the picked configuration.
        why_not: Why nothing is recommended, in Markdown; "": something is.
        dropped, slices: Slices left out because others used the machine meanwhile, of how many.
        others_share: Usual share of the machine that others used (median over the slices); NaN where not known.
        margin: As planned: differences within it count as none.
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
    """Key of the configuration whose limit ``bottleneck`` is: the chosen one, or the one that it varies."""
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
        """One paragraph, in Markdown."""
        return " ".join(self.sentences)

    @property
    def pick(self) -> Pick | None:
        """The choice of the recommended batch size."""
        if not self.chosen:
            return None
        size = int(self.configuration(self.chosen)["batch_size"])
        return next(each for each in self.picks if each.batch_size == size)

    @property
    def complete(self) -> pd.DataFrame:
        """The configurations with a result, fastest first."""
        frame = self.configurations
        return frame[frame["n"] > 0] if len(frame) else frame

    def configuration(self, key: str) -> pd.Series:
        """The configuration of a key."""
        frame = self.configurations
        return frame[frame["key"] == key].iloc[0]
