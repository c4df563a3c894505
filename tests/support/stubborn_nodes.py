"""Functions that find a study's data on a node, but do not end as they should; picklable."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FollowsNothing:
    """Never ends, whatever interrupts it; writes its process's id to a file."""

    file: Path

    def __call__(self) -> Path:
        self.file.write_text(str(os.getpid()))
        while True:
            try:
                time.sleep(1)
            except BaseException:
                continue


@dataclass(frozen=True)
class LeavesAChild:
    """Is killed, and leaves a child that lives for as long as a file does."""

    file: Path

    def __call__(self) -> Path:
        self.file.touch()
        if os.fork() == 0:
            while self.file.exists():
                time.sleep(0.1)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
        return self.file
