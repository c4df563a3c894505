"""Messages between a study's process, a place of its cluster, and the process there that trains.

Plain tuples: the place passes them on without importing what they are about.
"""

from typing import Any

Message = tuple[Any, ...]
"""The kind of message, then its values."""

READY = "ready"
"""From the training process: it has the study's data; a dictionary that describes the node."""
STEP = "step"
"""From there: the trial has reached a step; the step and the training seconds used."""
SCORE = "score"
"""From there: a score, on which the study's process says with `ANSWER` whether the trial ends early."""
OUTCOME = "outcome"
"""From there: the trial has ended; its pickled `Outcome`, and the most memory that its process has taken, in bytes."""
RETURNED = "returned"
"""From there: it was interrupted and gives its trial back."""
FAILED = "failed"
"""From there: an error that the user can fix ends the study; its text, and whether a setting is wrong."""
CRASHED = "crashed"
"""From there, before it ends: the text of an error that nobody expected."""
DIED = "died"
"""From the place: its training process has ended without a word; the last lines that were printed on its node."""

LAST = frozenset((OUTCOME, RETURNED, FAILED, DIED))
"""Messages after which a trial no longer runs in its place."""
LOST = "lost"
"""From the study's side of a place: it has ended, or cannot be reached; whether Ray has seen its end, and why it could
not even start, or None."""

WORK = "work"
"""To the training process: the pickled `NodeWork`, before all trials."""
TRIAL = "trial"
"""To there: a pickled `NodeTrial`."""
ANSWER = "answer"
"""To there: whether the trial ends early."""
STOP = "stop"
"""To there: interrupt the trial, give it back and end."""
