"""Run the commands of docs/explained.md and compare their output with the page, or write it into the page.

A command is a fenced block of `sh`; the block of `text` after it is its standard output. Commands run in one folder, in
the page's order. A line `...` stands for lines left out; the output of a block marked `text varies` differs from
machine to machine.

    python -m tests.support.explained_page     # writes the page again, with the current output
"""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explained.md"
LEFT_OUT = "..."
_COMMAND = re.compile(r"^```sh\n(?P<script>.*?)^```\n\n```text(?P<varies> varies)?\n(?P<shown>.*?)^```$", re.S | re.M)


@dataclass(frozen=True)
class Command:
    """A command of the page, the lines that the page shows of its output, and whether they are the same everywhere."""

    script: str
    shown: tuple[str, ...]
    stable: bool


def commands(page: str) -> list[Command]:
    """The page's commands in order."""
    return [
        Command(found["script"], tuple(found["shown"].splitlines()), found["varies"] is None)
        for found in _COMMAND.finditer(page)
    ]


def run(script: str, folder: Path, *, programs: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command as a person does: bash, the environment's programs first, no settings of ours.

    ``programs``: where `python` and `posebench` are (default: those of this environment).
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("POSEBENCH_", "MLFLOW_", "PYTHON", "COLUMNS"))}
    programs = programs or Path(sys.executable).parent
    environment = kept | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def missing(shown: tuple[str, ...], output: str) -> str | None:
    """The first line shown that the output does not hold where it should; None if all are there.

    Lines stand one after another, unless a ``...`` is between them or at an end. Columns may be wider or narrower.
    """
    lines = [_in_one_space(line) for line in output.splitlines()]
    position, free = 0, False
    for line in shown:
        if line == LEFT_OUT:
            free = True
            continue
        rest = lines[position:]
        wanted = _in_one_space(line)
        if wanted not in (rest if free else rest[:1]):
            return line
        position += rest.index(wanted) + 1
        free = False
    return None if free or position == len(lines) else f"(the end; there is more: {lines[position]!r})"


def _in_one_space(line: str) -> str:
    return " ".join(line.split())


def main() -> None:
    """Write the page again: blocks that leave lines out stay as they are."""
    with tempfile.TemporaryDirectory() as folder:

        def renewed(found: "re.Match[str]") -> str:
            done = run(found["script"], Path(folder))
            if done.returncode:
                sys.exit(f"{found['script']}\n{done.stderr}")
            if LEFT_OUT in found["shown"].splitlines():
                return found[0]
            start, end = (edge - found.start() for edge in found.span("shown"))
            return (
                found[0][:start] + "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines()) + found[0][end:]
            )

        PAGE.write_text(_COMMAND.sub(renewed, PAGE.read_text()))


if __name__ == "__main__":
    main()
