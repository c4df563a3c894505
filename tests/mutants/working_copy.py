"""Copy the repository, so that mutants are planted and tests run in the copy and never in the tree itself."""

import compileall
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode

import psutil

PACKAGES = ("bench", "posemodel")
NOT_COPIED = {
    ".git", ".venv", ".hypothesis", ".pytest_cache", ".ruff_cache", ".import_linter_cache", ".mypy_cache", "data",
    "runs", "mlruns", "mlartifacts", "mlflow.db", "optuna.db",
}  # fmt: skip
"""Of the repository's first level: what no test reads."""
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "_hypothesis_pytestplugin", "--hypothesis-seed=0")
"""How tests are run: none but the plugins that are named here, and with the same examples each time."""
KILL_S = 10.0
"""Until a killed process is gone: longer than a busy machine has ever taken."""
OWNER = "MUTANTS_COPY"
"""Variable by which a copy's processes are known: those that a killed test leaves behind are ended by it."""
OTHER_VARIABLES = ("COVERAGE_", "MUTANTS_", "PYTEST_")
"""Prefixes of variables of the process that this one may be started from: a measured test run, for one."""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int | None
    """Its exit code; None where it was stopped at its time limit."""
    output: str
    seconds: float


class WorkingCopy:
    """A copy of a repository, its packages imported instead of any that are installed."""

    def __init__(self, repository: Path, folder: Path) -> None:
        """Copies ``repository`` to ``folder / "main"``, with the `shared` folder that tests look for beside it."""
        self.folder = folder.resolve() / "main"
        self._temporary = folder.resolve() / "tmp"
        self._owner = uuid.uuid4().hex
        top = str(repository)

        def left_out(inside: str, names: list[str]) -> set[str]:
            return {name for name in names if name == "__pycache__" or (inside == top and name in NOT_COPIED)}

        shutil.copytree(top, self.folder, ignore=left_out, symlinks=True)
        if (repository.parent / "shared").is_dir():
            (folder / "shared").symlink_to(repository.parent / "shared")
        self._temporary.mkdir()
        # By content: a file's time and size may be those of its mutant.
        for name in (*PACKAGES, "studies", "tests"):
            compileall.compile_dir(self.folder / name, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)

    def environment(self) -> dict[str, str]:
        """This process's environment, for tests in the copy."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OTHER_VARIABLES)}
        # One hash seed: parametrized tests have the same names in every run.
        return kept | {
            "PYTHONPATH": str(self.folder),
            "PYTHONHASHSEED": "0",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "TMPDIR": str(self._temporary),
            OWNER: self._owner,
        }

    def check(self) -> None:
        """Raise where Python would import other packages than the copy's."""
        code = f"import {', '.join(PACKAGES)}; print({', '.join(f'{name}.__file__' for name in PACKAGES)})"
        ended = self.run(["-c", code], timeout_s=60)
        if ended.output.split() != [str(self.folder / name / "__init__.py") for name in PACKAGES]:
            raise RuntimeError(f"Python does not import the copy in {self.folder}, but: {ended.output}")

    def run(self, arguments: Sequence[str], *, timeout_s: float) -> Ended:
        """Run Python in the copy to its end, or kill it after so many seconds, with all that it has started."""
        began = time.monotonic()
        output = self._temporary.with_name("output.txt")
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
            try:
                code: int | None = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                self._end_strays()
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(exist_ok=True)
        return Ended(code, output.read_text(encoding="utf-8", errors="replace"), time.monotonic() - began)

    def _end_strays(self) -> None:
        """End processes of this copy that have left their session."""
        while strays := [process for process in psutil.process_iter() if self._owns(process)]:
            for process in strays:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if psutil.wait_procs(strays, timeout=KILL_S)[1]:
                raise RuntimeError(f"processes of {self.folder} do not end: {strays}")

    def _owns(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(OWNER) == self._owner and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False
