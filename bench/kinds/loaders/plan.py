"""Plans what a loader study measures next, only from its measurements, so that an interrupted study can continue.

The grid has a panel for each batch size: every number of workers, pinned or not, and the user's own loader. One more
panel varies the best of the grid, one setting at a time. A panel is measured in blocks until its answer is settled, or
the blocks or the time are used up; configurations that can no longer be the best are left out of later blocks.
"""

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.kinds.loaders.analysis.configurations import Compared, compared_panel, configuration_key
from bench.kinds.loaders.analysis.findings import Comparison
from bench.kinds.loaders.analysis.ratios import looks, pairs_of
from bench.kinds.loaders.analysis.verdict import best_of_grid
from bench.kinds.loaders.data import own_loader_settings
from bench.kinds.loaders.phases import AROUND, GRID, LARGEST, PhaseName
from bench.kinds.loaders.spec import AROUND_AXES, NEED_WORKERS, LoaderSpec
from bench.measure.loader.configuration import LoaderConfiguration, configuration
from bench.trials.columns import rows_of
from bench.trials.identity import identifying
from bench.trials.loader_settings import plain_settings
from bench.trials.status import Status
from posemodel.errors import SettingsError

ARM_BLOCKS = 3
"""Number of blocks of a panel in which loading alone and computing alone are measured too."""


@dataclass(frozen=True)
class Contestant:
    """A configuration that is measured side by side with others."""

    configuration: LoaderConfiguration
    own_loader: str = ""
    """Dotted path of a user's own loader, which is called with these settings; "": PyTorch's DataLoader."""

    def row(self) -> dict[str, Any]:
        """Return the columns that identify the contestant."""
        return {**self.configuration.model_dump(), "own_loader": self.own_loader}

    @property
    def key(self) -> str:
        """The configuration's key in the frames of the analysis."""
        return configuration_key(self.row())


@dataclass(frozen=True)
class Panel:
    """Configurations that are measured side by side."""

    phase: PhaseName
    number: int
    """Number of the panel, counted over both phases."""
    contestants: tuple[Contestant, ...]


@dataclass(frozen=True)
class Block:
    """The next block of a panel."""

    panel: Panel
    number: int
    contestants: tuple[Contestant, ...]
    """Contestants that can still be the best."""
    arms: tuple[Contestant, ...]
    """Contestants for which loading alone is measured too."""
    computes: tuple[Contestant, ...]
    """Contestants for which computing alone is measured too: one with and one without pinned memory."""

    def id_of(self, contestant: Contestant) -> str:
        """Return the block's id, a digest of its content that is the same in every process."""
        content: list[Any] = [self.panel.phase, self.panel.number, self.number, identifying(contestant.configuration)]
        return hashlib.sha256(json.dumps([*content, contestant.own_loader]).encode()).hexdigest()[:16]


def grid(spec: LoaderSpec, *, pinning: bool) -> list[Panel]:
    """Return a panel for each batch size; without ``pinning`` (no accelerator) pinned memory is not measured."""
    pinned = sorted(spec.pin_memory) if pinning else [False]
    own_loaders = own_loader_settings(spec, pinning=pinning)
    panels = []
    for number, batch_size in enumerate(spec.batch_size):
        own = [
            Contestant(configuration(batch_size=batch_size, num_workers=workers, pin_memory=pin))
            for workers, pin in itertools.product(sorted(spec.num_workers), pinned)
        ]
        own += [Contestant(each, spec.loader) for each in own_loaders if each.batch_size == batch_size]
        panels.append(Panel(GRID, number, tuple(own)))
    return panels


def around(spec: LoaderSpec, best: Contestant, number: int) -> Panel | None:
    """Return the panel of the best combination and its variants with one setting changed; None if there are no
    variants.

    Settings that cannot work with it are left out. PyTorch's defaults are included, because all configurations are
    compared with them.
    """
    if best.own_loader:
        return None
    base = best.configuration
    defaults = configuration(batch_size=base.batch_size)
    variants = [base]
    for name in AROUND_AXES:
        if name in NEED_WORKERS and base.num_workers == 0:
            continue
        for value in getattr(spec, name):
            try:
                other = configuration(**base.model_dump() | {name: value})
            except SettingsError:  # this system lacks the start method
                continue
            if other not in variants:
                variants.append(other)
    if len(variants) == 1:
        return None
    if defaults not in variants and 0 in spec.num_workers:
        variants.append(defaults)
    return Panel(AROUND, number, tuple(map(Contestant, variants)))


def comparison(spec: LoaderSpec, *, pinning: bool, cores: float | None) -> Comparison:
    """Return the plan that the analysis needs; it depends on the study's settings alone, not on what is measured."""
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
    spec: LoaderSpec, processes: pd.DataFrame, slices: pd.DataFrame, *, pinning: bool, cores: float | None
) -> Block | None:
    """Return the next block of the first unfinished panel; None once the study is complete.

    Args:
        spec: The study.
        processes, slices: Rows of the processes and slices measured so far.
        pinning: Whether pinned memory is possible.
        cores: CPU cores that the processes may use; None: unknown.
    """
    planned = comparison(spec, pinning=pinning, cores=cores)
    first = grid(spec, pinning=pinning)
    panels = len(first) + any(getattr(spec, name) for name in AROUND_AXES)
    for panel in first:
        block = _block_of(spec, panel, processes, slices, planned, share=(panel.number + 1) / panels)
        if block is not None:
            return block
    best = best_of_grid(processes, slices, planned) if len(processes) else None
    if best is None:
        return None
    base = Contestant(configuration(**plain_settings(best)), str(best["own_loader"]))
    last = around(spec, base, _number_around(base, processes, len(first)))
    return None if last is None else _block_of(spec, last, processes, slices, planned, share=1.0)


def _number_around(base: Contestant, processes: pd.DataFrame, grids: int) -> int:
    """Return the number of the panel of a base's variants: that of the panel that began with it, or a new one if
    further measurements have found another best configuration."""
    begun: dict[int, str] = {}
    for row in rows_of(processes[processes["phase"] == AROUND]):
        begun.setdefault(int(row["panel"]), configuration_key(row))
    return next((number for number, key in begun.items() if key == base.key), max([grids - 1, *begun]) + 1)


def ended_by(
    spec: LoaderSpec, processes: pd.DataFrame, slices: pd.DataFrame, *, pinning: bool, cores: float | None
) -> str:
    """Return why a finished study ended: `settled`, or `time` or `blocks` if a panel used up its time or blocks."""
    planned = comparison(spec, pinning=pinning, cores=cores)
    ends = set()
    for phase, number in sorted({*zip(processes["phase"], processes["panel"].astype(int), strict=True)}):
        panel = Panel(phase, number, ())
        done = int(_of_panel(processes, panel)["block"].max()) + 1
        if not _compared(panel, processes, slices, planned, done).state(planned).settled:
            ends.add("blocks" if done >= spec.blocks else "time")
    if not (processes["status"] == Status.COMPLETE).any():
        return ""
    return "time" if "time" in ends else "blocks" if ends else "settled"


def spent_s(processes: pd.DataFrame, slices: pd.DataFrame) -> float:
    """Return the seconds that the blocks have taken so far; of an interrupted block, the seconds of its slices."""
    if not len(processes):
        return 0.0
    block_columns = ["phase", "panel", "block"]
    complete = processes[processes["phase"] != LARGEST].groupby(block_columns)["block_s"].max()
    parts = slices.groupby(block_columns)["seconds"].sum() if len(slices) else pd.Series(dtype=float)
    return float(complete.fillna(parts.reindex(complete.index)).fillna(0.0).sum())


def _block_of(
    spec: LoaderSpec, panel: Panel, processes: pd.DataFrame, slices: pd.DataFrame, planned: Comparison, *, share: float
) -> Block | None:
    """Return the next block of a panel; None once the panel is complete. ``share``: fraction of the study's time that
    may be used up by the end of this panel."""
    own = _of_panel(processes, panel)
    number = int(own["block"].max()) + 1 if len(own) else 0
    failed = {configuration_key(row) for row in rows_of(own[own["status"] != Status.COMPLETE])} if len(own) else {}
    running = [each for each in panel.contestants if each.key not in failed]
    spent = spent_s(processes, slices)
    late = number > 0 and spent + spent_s(own, _of_panel(slices, panel)) / number > 60 * spec.minutes * share
    if not running or number >= spec.blocks or late:
        return None
    arms = running if number < ARM_BLOCKS and spec.has_step and panel.phase == GRID else []
    look = max((each for each in planned.looks if each <= number), default=None)
    if look is not None:
        compared = _compared(panel, processes, slices, planned, look)
        state = compared.state(planned)
        disturbed_keys = compared.disturbed if spec.has_step else set()
        if state.settled and not disturbed_keys:
            return None
        running = [each for each in running if each.key in disturbed_keys or each.key in state.next]
        if not running:  # the open ones have failed meanwhile
            return None
        arms = arms or [each for each in running if each.key in disturbed_keys]
    return Block(panel, number, tuple(running), tuple(arms), tuple(_one_for_each_pinning(arms)))


def _compared(panel: Panel, processes: pd.DataFrame, slices: pd.DataFrame, planned: Comparison, look: int) -> Compared:
    """Compare the configurations at a look (interim analysis), by the blocks up to it alone, without later ones."""
    before, measured_slices = _until(panel, processes, look), _until(panel, slices, look)
    return compared_panel(before, measured_slices, planned, phase=panel.phase, panel=panel.number)


def _until(panel: Panel, frame: pd.DataFrame, look: int) -> pd.DataFrame:
    """Return the rows of a panel's first ``look`` blocks."""
    own = _of_panel(frame, panel)
    return own[own["block"] < look] if len(own) else own


def _of_panel(frame: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    if not len(frame):
        return frame
    rows: pd.DataFrame = frame[(frame["phase"] == panel.phase) & (frame["panel"] == panel.number)]
    return rows


def _one_for_each_pinning(contestants: Sequence[Contestant]) -> list[Contestant]:
    """Return one contestant with and one without pinned memory: the step does not depend on the number of workers."""
    by_pinning: dict[bool, Contestant] = {}
    for each in contestants:
        by_pinning.setdefault(each.configuration.pin_memory, each)
    return list(by_pinning.values())
