"""Start `posebench` in a test's folder so that it is killed at a moment; a moment that never came fails the test."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.killed_moment import FLAG, OUTPUT, Moment

PROGRAM = Path(__file__).with_name("killed_process.py")


@dataclass
class KilledRuns:
    """Runs of the command in one folder."""

    folder: Path
    process: "subprocess.Popen[str]"

    def killed_at(self, moment: Moment, *arguments: str) -> None:
        """Run `posebench ARGUMENTS` until ``moment``."""
        code = self.run_with(moment, *arguments)
        assert code == -signal.SIGKILL, f"ended with {code} at {moment}:\n{self.output()}"

    def run_with(self, moment: Moment, *arguments: str) -> int:
        """Run `posebench ARGUMENTS` with the moment armed; returns its exit code, and fails where nobody has met it."""
        flag = self.folder / FLAG
        flag.touch()
        self.process.stdin.write(json.dumps({"moment": asdict(moment), "arguments": arguments}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the process that starts the others has ended"
        assert not flag.exists(), f"never reached, ended with {int(answer)}: {moment}\n{self.output()}"
        return int(answer)

    def output(self) -> str:
        """The end of what the last run has said."""
        return (self.folder / OUTPUT).read_text()[-5000:]


@contextmanager
def killed_runs(folder: Path, environment: dict[str, str]) -> Iterator[KilledRuns]:
    """Runs of the command in ``folder`` with these variables."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield KilledRuns(folder, process)
        process.stdin.close()
    for left in (FLAG, OUTPUT):
        (folder / left).unlink(missing_ok=True)
