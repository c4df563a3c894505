"""The share of a command's worker time in which no trial ran."""

import time
from dataclasses import dataclass, field

from bench.engines.events import Event, TrialBegan, TrialEnded, WorkersChanged


@dataclass
class IdleShare:
    """Adds up the time of a command's trials from its events."""

    workers: int
    """Largest number of trials that the command could run at once so far."""
    trials: int = 0
    """Trials that have ended in this command."""
    _since: dict[str, float] = field(default_factory=dict)
    _busy_s: float = 0.0
    _first: float = float("inf")
    _last: float = float("-inf")
    _changes: list[tuple[float, int]] = field(default_factory=list)
    """When the number of workers changed, in seconds since the epoch, and to what."""

    def on_event(self, event: Event) -> None:
        """Take note of a trial that begins or ends."""
        if isinstance(event, TrialBegan):
            self._since[event.trial.trial_id] = event.trial.since
            self._first = min(self._first, event.trial.since)
        elif isinstance(event, WorkersChanged):
            self._changes.append((time.time(), event.workers))
            self.workers = max(self.workers, event.workers)
        elif isinstance(event, TrialEnded) and (began := self._since.pop(event.record.trial_id, None)) is not None:
            self.trials += 1
            self._busy_s += event.seconds
            self._last = max(self._last, began + event.seconds)

    @property
    def share(self) -> float | None:
        """Share of the workers' time, from the first trial's begin to the last one's end, in which they ran no trial;
        None if no trial has ended."""
        offered = self._offered_s()
        return max(0.0, 1 - self._busy_s / offered) if self.trials and offered > 0 else None

    def _offered_s(self) -> float:
        """Return the workers' time from the first trial's begin to the last one's end, in seconds."""
        if not self._changes:
            return self.workers * (self._last - self._first)
        ends = [moment for moment, _ in self._changes[1:]] + [self._last]
        return sum(
            workers * max(0.0, min(end, self._last) - max(since, self._first))
            for (since, workers), end in zip(self._changes, ends, strict=True)
        )

    def text(self) -> str:
        """Return the share in words; empty if there is none, or if a single worker ran all trials one by one."""
        share = self.share
        if share is None or self.workers < 2:
            return ""
        return (
            f"the {self.workers} workers ran no trial for {share:.1%} of their time, "
            "from the first trial's begin to the last one's end"
        )
