"""A valley in which trainings of one optimizer end their process, as the kernel does when memory runs out."""

import os
import signal
from pathlib import Path
from typing import Any

from tests.support.valley import Valley, ValleyRun, ValleySettings

MORTAL = "tests.support.mortal_valley:MortalValley"
"""Its name in a study file."""
DEADLY = "SGD"
"""Class of the optimizer whose trainings die."""


class MortalSettings(ValleySettings):
    """What a study says of it."""

    deaths: str = ""
    """Folder of a file for each death; empty: there are no deaths."""
    most: int = 100
    """Number of deaths after which nobody dies any more."""


class MortalRun(ValleyRun):
    """One run."""

    deaths: str = ""
    most: int = 100


class MortalValley(Valley):
    """The workload."""

    name = MORTAL
    settings = MortalSettings
    run = MortalRun

    def plan(self, own: Any, assignment: Any) -> Any:
        """One run."""
        plain = ValleySettings(**own.model_dump(exclude={"deaths", "most"}))
        return MortalRun(**super().plan(plain, assignment).model_dump(), deaths=own.deaths, most=own.most)

    def train(self, run: Any, make_optimizer: Any, **how: Any) -> Any:
        """Descend, or die."""

        def make(parameters: Any) -> Any:
            optimizer = make_optimizer(parameters)
            if run.deaths and type(optimizer).__name__ == DEADLY:
                _die(Path(run.deaths), run.most)
            return optimizer

        return super().train(run, make, **how)


def _die(folder: Path, most: int) -> None:
    for number in range(most):
        try:
            (folder / str(number)).touch(exist_ok=False)
        except FileExistsError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)
