"""Hear what a study's places say, in a thread of its own.

The study's process may wait for a server for an hour; outcomes that come meanwhile are kept on its disk at once, and
Ray need not hold what has been heard.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import ray

from bench.engines.cluster import messages

P = TypeVar("P")
Answer = Any
"""What a promise of Ray has become, a message of a trial, or the error that Ray has raised instead."""
ERRORS = (ray.exceptions.RayError, StopIteration)
LISTEN_S = 0.1
"""Longest time until the thread hears of a new promise, in seconds."""
MOST_STEPS = 1000
"""Number of unread messages above which the steps of trials, which are only shown, are not kept."""


class Listener(Generic[P]):
    """Waits for what Ray has promised, for each place in turn."""

    def __init__(self) -> None:
        """Begin to listen."""
        self.on_answer: Callable[[P, Answer], object] = lambda _place, _answer: None
        """Called in the thread with each answer, before anybody else gets it."""
        self._expected: dict[Any, P] = {}
        self._lock = threading.Lock()
        self._answers: queue.SimpleQueue[tuple[P, Answer] | BaseException] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="places")
        self._thread.start()

    def expect(self, promise: Any, place: P) -> None:
        """Wait for a promise, or for a stream of messages until its last one, from now on."""
        with self._lock:
            self._expected[promise] = place

    def forget(self, place: P) -> None:
        """Wait for nothing of this place any more."""
        with self._lock:
            self._expected = {promise: each for promise, each in self._expected.items() if each is not place}

    def answers(self, seconds: float) -> list[tuple[P, Answer]]:
        """Return what has been heard since; waits so long for something.

        Raises the error that has ended the thread, if one has.
        """
        heard: list[tuple[P, Answer]] = []
        with suppress(queue.Empty):
            each = self._answers.get(timeout=seconds)
            while True:
                if isinstance(each, BaseException):
                    raise each
                heard.append(each)
                each = self._answers.get_nowait()
        return heard

    def close(self) -> None:
        """End the thread, before the connection ends."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                self._listen()
        except BaseException as error:
            self._answers.put(error)

    def _listen(self) -> None:
        with self._lock:
            expected = dict(self._expected)
        if not expected:
            self._closed.wait(LISTEN_S)
            return
        ready, _ = ray.wait(list(expected), num_returns=1, timeout=LISTEN_S)
        if ready:
            ready, _ = ray.wait(list(expected), num_returns=len(expected), timeout=0)
        for promise in ready:
            place = expected[promise]
            answer = _answer_of(promise)
            if not _goes_on(promise, answer):
                with self._lock:
                    self._expected.pop(promise, None)
            elif answer[0] == messages.STEP and self._answers.qsize() > MOST_STEPS:
                continue
            self.on_answer(place, answer)
            self._answers.put((place, answer))


def _answer_of(promise: Any) -> Answer:
    try:
        return ray.get(next(promise) if _is_stream(promise) else promise)
    except ERRORS as error:
        return error


def _goes_on(promise: Any, answer: Answer) -> bool:
    """Return whether a stream has more to say."""
    return _is_stream(promise) and not isinstance(answer, ERRORS) and answer[0] not in messages.LAST


def _is_stream(promise: Any) -> bool:
    return isinstance(promise, ray.ObjectRefGenerator)
