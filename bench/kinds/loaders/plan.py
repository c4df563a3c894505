"""What a loader study measures next, by what it has measured: pure, so that an interrupted study goes on.

The grid has a panel for each batch size: every number of workers, pinned or not, and a loader of one's own. Around the
best of it is one more: one setting at a time. A panel is measured in blocks, until the answer is settled, or the blocks
or the time are used up; what cannot win any more is left out of later blocks.
"""

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.choice import PanelState
from bench.kinds.loaders.analysis.configurations import configuration_key, state_of
from bench.kinds.loaders.analysis.findings import Comparison
from bench.kinds.loaders.analysis.ratios import looks, pairs_of
from bench.kinds.loaders.analysis.verdict import best_of_grid, disturbed
from bench.kinds.loaders.data import own_loader_settings
from bench.kinds.loaders.phases import AROUND, GRID, LARGEST, PhaseName
from bench.kinds.loaders.spec import AROUND_AXES, NEED_WORKERS, LoaderSpec
from bench.measure.loader.configuration import LoaderConfiguration, configuration
from bench.trials.columns import rows_of
from bench.trials.identity import identifying
from bench.trials.loader_settings import chosen_settings
from bench.trials.status import Status
from posemodel.errors import SettingsError

ARM_BLOCKS = 3
"""Blocks of a panel in which loading alone and computing alone are measured too."""


@dataclass(frozen=True)
class Contestant:
    """What is measured side by side with others."""

    configuration: LoaderConfiguration
    own_loader: str = ""
    """Dotted path of a loader of one's own, which gets these settings; "": PyTorch's DataLoader."""

    def row(self) -> dict[str, Any]:
        """The columns that tell it from others."""
        return {**self.configuration.model_dump(), "own_loader": self.own_loader}

    @property
    def key(self) -> str:
        """As in the frames of the analysis."""
        return configuration_key(self.row())


@dataclass(frozen=True)
class Panel:
    """What is measured side by side."""

    phase: PhaseName
    number: int
    """Counted through both phases."""
    contestants: tuple[Contestant, ...]


@dataclass(frozen=True)
class Block:
    """The next block of a panel."""

    panel: Panel
    number: int
    contestants: tuple[Contestant, ...]
    """Those that are still of interest."""
    arms: tuple[Contestant, ...]
    """Those of which loading alone is measured too."""
    computes: tuple[Contestant, ...]
    """Those of which computing alone is measured too: one for each pinning."""

    def id_of(self, contestant: Contestant) -> str:
        """Digest of the content: the same in every process."""
        content: list[Any] = [self.panel.phase, self.panel.number, self.number, identifying(contestant.configuration)]
        return hashlib.sha256(json.dumps([*content, contestant.own_loader]).encode()).hexdigest()[:16]


def grid(spec: LoaderSpec, *, pinning: bool) -> list[Panel]:
    """A panel for each batch size; without ``pinning`` (no accelerator) nothing can be pinned, and nothing is."""
    pinned = sorted(spec.pin_memory) if pinning else [False]
    theirs = own_loader_settings(spec, pinning=pinning)
    panels = []
    for number, batch_size in enumerate(spec.batch_size):
        own = [
            Contestant(configuration(batch_size=batch_size, num_workers=workers, pin_memory=pin))
            for workers, pin in itertools.product(sorted(spec.num_workers), pinned)
        ]
        own += [Contestant(each, spec.loader) for each in theirs if each.batch_size == batch_size]
        panels.append(Panel(GRID, number, tuple(own)))
    return panels


def around(spec: LoaderSpec, best: Contestant, number: int) -> Panel | None:
    """The best combination, and what differs from it in one setting; None where nothing does.

    What cannot work with it is left out. PyTorch's defaults are among them, as what all are compared with.
    """
    if best.own_loader:
        return None
    base = best.configuration
    defaults = configuration(batch_size=base.batch_size)
    found = [base]
    for name in AROUND_AXES:
        if name in NEED_WORKERS and base.num_workers == 0:
            continue
        for value in getattr(spec, name):
            try:
                other = configuration(**base.model_dump() | {name: value})
            except SettingsError:  # a start method that this system does not have
                continue
            if other not in found:
                found.append(other)
    if len(found) == 1:
        return None
    if defaults not in found and 0 in spec.num_workers:
        found.append(defaults)
    return Panel(AROUND, number, tuple(map(Contestant, found)))


def comparison(spec: LoaderSpec, *, pinning: bool, cores: float | None) -> Comparison:
    """What is planned, as the analysis needs it: fixed by the study's settings, whatever is measured."""
    sizes = [len(panel.contestants) for panel in grid(spec, pinning=pinning)]
    values = sum(len(getattr(spec, name)) for name in AROUND_AXES)
    if values:
        sizes.append(values + 2)
    return Comparison(
        looks=looks(spec.blocks, spec.min_blocks),
        pairs=pairs_of(sizes),
        margin=spec.margin,
        interval=spec.interval,
        cores=cores,
    )


def next_block(
    spec: LoaderSpec, lives: pd.DataFrame, slices: pd.DataFrame, *, pinning: bool, cores: float | None
) -> Block | None:
    """The next block of the first panel that is not done; None once the study is.

    ``lives``, ``slices``: what has been measured so far.
    """
    planned = comparison(spec, pinning=pinning, cores=cores)
    first = grid(spec, pinning=pinning)
    panels = len(first) + any(getattr(spec, name) for name in AROUND_AXES)
    for panel in first:
        block = _block_of(spec, panel, lives, slices, planned, share=(panel.number + 1) / panels)
        if block is not None:
            return block
    best = best_of_grid(lives, slices, planned) if len(lives) else None
    if best is None:
        return None
    base = Contestant(configuration(**chosen_settings(best)), str(best["own_loader"]))
    last = around(spec, base, _number_around(base, lives, len(first)))
    return None if last is None else _block_of(spec, last, lives, slices, planned, share=1.0)


def _number_around(base: Contestant, lives: pd.DataFrame, grids: int) -> int:
    """The number of the panel around a base: that which began with it, or a new one, where more time has found another
    best than before."""
    begun: dict[int, str] = {}
    for row in rows_of(lives[lives["phase"] == AROUND]):
        begun.setdefault(int(row["panel"]), configuration_key(row))
    return next((number for number, key in begun.items() if key == base.key), max([grids - 1, *begun]) + 1)


def ended_by(spec: LoaderSpec, lives: pd.DataFrame, slices: pd.DataFrame, *, pinning: bool, cores: float | None) -> str:
    """What ended a study that has ended: `settled`, or what a panel lacked: `time` or `blocks`."""
    planned = comparison(spec, pinning=pinning, cores=cores)
    ends = set()
    for phase, number in sorted({(row["phase"], int(row["panel"])) for row in rows_of(lives)}):
        panel = Panel(phase, number, ())
        done = int(_of_panel(lives, panel)["block"].max()) + 1
        look = min((each for each in planned.looks if each >= done), default=done)
        if not _state(panel, lives, slices, planned, look).settled:
            ends.add("blocks" if done >= spec.blocks else "time")
    if not (lives["status"] == Status.COMPLETE).any():
        return ""
    return "time" if "time" in ends else "blocks" if ends else "settled"


def spent_s(lives: pd.DataFrame, slices: pd.DataFrame) -> float:
    """Seconds that the blocks have taken so far; of one that was interrupted, those of its slices."""
    if not len(lives):
        return 0.0
    place = ["phase", "panel", "block"]
    whole = lives[lives["phase"] != LARGEST].groupby(place)["block_s"].max()
    parts = slices.groupby(place)["seconds"].sum() if len(slices) else pd.Series(dtype=float)
    return float(whole.fillna(parts.reindex(whole.index)).fillna(0.0).sum())


def _block_of(
    spec: LoaderSpec, panel: Panel, lives: pd.DataFrame, slices: pd.DataFrame, planned: Comparison, *, share: float
) -> Block | None:
    """The next block of a panel; None once it is done. ``share``: of the study's time, which it may use up."""
    own = _of_panel(lives, panel)
    number = int(own["block"].max()) + 1 if len(own) else 0
    failed = {configuration_key(row) for row in rows_of(own[own["status"] != Status.COMPLETE])} if len(own) else {}
    running = [each for each in panel.contestants if each.key not in failed]
    spent = spent_s(lives, slices)
    late = number > 0 and spent + spent_s(own, _of_panel(slices, panel)) / number > 60 * spec.minutes * share
    if not running or number >= spec.blocks or late:
        return None
    arms = running if number < ARM_BLOCKS and spec.has_step and panel.phase == GRID else []
    look = max((each for each in planned.looks if each <= number), default=None)
    if look is not None:
        state = _state(panel, lives, slices, planned, look)
        again = _disturbed(panel, lives, slices, planned, look) if spec.has_step else set()
        if state.settled and not again:
            return None
        running = [each for each in running if each.key in again or each.key in state.next]
        if not running:  # what is open has failed meanwhile
            return None
        arms = arms or [each for each in running if each.key in again]
    return Block(panel, number, tuple(running), tuple(arms), tuple(_one_for_each_pinning(arms)))


def _state(panel: Panel, lives: pd.DataFrame, slices: pd.DataFrame, planned: Comparison, look: int) -> PanelState:
    """What a look has decided: of its blocks, whatever came later."""
    before, those = _until(panel, lives, look), _until(panel, slices, look)
    return state_of(before, those, planned, phase=panel.phase, panel=panel.number)


def _disturbed(panel: Panel, lives: pd.DataFrame, slices: pd.DataFrame, planned: Comparison, look: int) -> set[str]:
    return {key for _, _, key in disturbed(_until(panel, lives, look), _until(panel, slices, look), planned)}


def _until(panel: Panel, frame: pd.DataFrame, look: int) -> pd.DataFrame:
    """The rows of a panel's first blocks."""
    own = _of_panel(frame, panel)
    return own[own["block"] < look] if len(own) else own


def _of_panel(frame: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    if not len(frame):
        return frame
    found: pd.DataFrame = frame[(frame["phase"] == panel.phase) & (frame["panel"] == panel.number)]
    return found


def _one_for_each_pinning(contestants: Sequence[Contestant]) -> list[Contestant]:
    """The step does not care how many workers there are."""
    found: dict[bool, Contestant] = {}
    for each in contestants:
        found.setdefault(each.configuration.pin_memory, each)
    return list(found.values())
