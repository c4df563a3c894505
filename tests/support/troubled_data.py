"""Data sets that cause realistic errors while they are read."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

LENGTH = 64
TROUBLE_AT = 24
"""Position whose sample makes the trouble."""


@dataclass(frozen=True)
class Troubled(Dataset[Any]):
    """Samples are small tensors; the one at TROUBLE_AT does ``trouble``. Called, it is its own factory."""

    trouble: str = ""

    def __call__(self) -> "Troubled":
        return self

    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, position: int) -> torch.Tensor:
        if self.trouble == "in worker" and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        if position == TROUBLE_AT:
            match self.trouble:
                case "raise":
                    raise ValueError(f"sample {position} is broken")
                case "hang":
                    time.sleep(3600)
                case "SIGKILL" | "SIGBUS":
                    os.kill(os.getpid(), signal.Signals[self.trouble])
                case "memory":
                    raise MemoryError("no more of it")
        return torch.full((8,), position)


@dataclass(frozen=True)
class Random(Dataset[Any]):
    """Samples drawn from the generators that data sets use; with ``honest`` false, from the process's own identity."""

    honest: bool = True

    def __call__(self) -> "Random":
        return self

    def __len__(self) -> int:
        return 17

    def __getitem__(self, position: int) -> dict[str, Any]:
        worker = get_worker_info()
        own = 0 if self.honest or worker is None else 1 + worker.id
        return {"pixels": torch.rand(3, 4), "noise": np.random.rand(2), "position": position, "own": own}  # noqa: NPY002


@dataclass(frozen=True)
class Large(Dataset[Any]):
    """Samples of so many bytes."""

    size: int

    def __call__(self) -> "Large":
        return self

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, position: int) -> torch.Tensor:
        return torch.ones(self.size, dtype=torch.uint8)


@dataclass(frozen=True)
class HoldingStep:
    """A step that holds so many bytes for each sample of its batch, and touches them."""

    bytes_a_sample: int

    def __call__(self) -> Any:
        held: list[torch.Tensor] = []

        def step(batch: torch.Tensor) -> None:
            held.clear()
            held.append(torch.ones(len(batch) * self.bytes_a_sample, dtype=torch.uint8))
            time.sleep(0.05)

        return step


def answer(progress: Any, value: Any) -> Any:
    """A measuring process's function that answers at once."""
    progress(1)
    return value


def end_with(_progress: Any, how: str) -> None:
    """One that ends without a word: by a signal, or with an exit code."""
    if how.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[how])
    os._exit(int(how))


def stall_with_child(progress: Any, note: str) -> None:
    """One that starts a process, notes its id in a file, makes some progress and then none."""
    child = os.fork()
    if child == 0:
        time.sleep(3600)
    Path(note).write_text(f"{os.getpid()} {child}")
    progress(7)
    time.sleep(3600)


def killed_with_child(progress: Any, note: str) -> None:
    """One that is killed while a process that it forked lives on, with all of its open pipes."""
    child = os.fork()
    if child == 0:
        time.sleep(3600)
    Path(note).write_text(str(child))
    progress(1)
    os.kill(os.getpid(), signal.SIGKILL)


def talk(progress: Any) -> int:
    """One that prints, as careless data sets do."""
    print("loading annotations into memory...")
    os.write(1, b"and from C\n")
    progress(1)
    return 7


def hold(progress: Any, size: int) -> None:
    """One that holds so many bytes and does not end."""
    held = bytearray(size)
    held[::4096] = b"x" * len(held[::4096])
    while True:
        progress(len(held))
        time.sleep(0.05)
