"""The commands of docs/guide/clusters.md, and a machine of a cluster in which they run."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.commands import ROOT
from tests.support.forking_process import FORKED_STARTS_VARIABLE
from tests.support.place import WORKERS

PAGE = (ROOT / "docs" / "guide" / "clusters.md").read_text(encoding="utf-8")
SLURM = re.search(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)[1]
RAY_SLURM = re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)[1]
LAUNCHER = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)[1]
KUBERNETES = re.search(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)[1]


def block(name):
    """The lines of the page's block that begins with `# NAME`."""
    return re.search(rf"^```sh\n# {re.escape(name)}\n(.*?)^```", PAGE, re.M | re.S)[1]


def replaced(text, changes):
    """A text with its examples replaced; each of them must stand in it."""
    for example, value in changes.items():
        assert example in text, example
        text = text.replace(example, str(value))
    return text


class Machine:
    """A machine of a cluster: a home folder with `work` in it, and programs of a cluster that note how they are called.

    `ssh HOST WORDS` joins its words with blanks, as the real one does, runs them in the home folder of another machine,
    and ends once nobody holds their output open; `scontrol` does nothing.
    """

    def __init__(self, home: Path, stores: str, *, programs: Path | None = None) -> None:
        """``stores``: the lines of stores.sh. ``programs``: folder of `forked_program`; None: the installed one."""
        self.home, self.work = home, home / "work"
        self.called = home / "called.txt"
        for folder in (self.work / ".venv" / "bin", home / "bin"):
            folder.mkdir(parents=True)
        (self.work / "stores.sh").write_text(stores)
        (self.work / "people").mkdir()
        path = ":".join(map(str, filter(None, (programs, Path(sys.executable).parent))))
        (self.work / ".venv" / "bin" / "activate").write_text(f'PATH="{path}:$PATH"\n')
        self._forked = {} if programs is None else {FORKED_STARTS_VARIABLE: ",".join(WORKERS)}
        self._program("scontrol", f'echo "$@" >> "{self.called}"')
        self._program(
            "ssh", f'cd "{home.parent}/$1" && shift && said=$(bash -c "$*" 2>&1); code=$?; echo "$said"; exit $code'
        )

    def _program(self, name: str, does: str) -> None:
        file = self.home / "bin" / name
        file.write_text(f"#!/bin/sh\n{does}\n")
        file.chmod(0o755)

    @property
    def environment(self):
        """The environment of a job."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("POSEBENCH_", "MLFLOW_", "PYTHON"))}
        path = f"{self.home / 'bin'}:{Path(sys.executable).parent}:{kept.get('PATH', '')}"
        return (
            kept
            | self._forked
            | {"HOME": str(self.home), "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        )

    def start(self, script: str, **variables: str) -> "subprocess.Popen[bytes]":
        """A shell with a script, in a group of its own; what it says goes to said.txt."""
        with (self.home / "said.txt").open("a") as said:
            return subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.work,
                env=self.environment | variables,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        """What all its scripts have said."""
        return (self.home / "said.txt").read_text()
