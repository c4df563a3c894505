"""Starts `posebench` again and again, each time to be killed with SIGKILL at a moment, from outside the project's code.

Reads a JSON document a line from its standard input: {"moment": ..., "arguments": [...]}; forks a process that runs the
command with the moment armed, its output going to the file ``OUTPUT``; answers with a line, the process's exit code as
`subprocess` has it. Forked, because importing the libraries once costs less than thirty times.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.killed_moment import MOMENT_VARIABLE, OUTPUT, Moment

if __name__ == "__mp_main__":
    Moment.from_json(os.environ[MOMENT_VARIABLE]).arm(in_worker=True)  # spawned workers run this file too


def main() -> None:
    """Serve until the input ends."""
    import bench.prepare
    import bench.study  # noqa: F401 (for the children)
    import posemodel.training  # noqa: F401

    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            run(Moment(**asked["moment"]), asked["arguments"])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(moment: Moment, arguments: list[str]) -> None:
    """Run the command in this process, which ends with it."""
    from bench.cli.app import main as posebench

    output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, descriptor in enumerate((nothing, output, output)):
        os.dup2(descriptor, ours)
    os.environ[MOMENT_VARIABLE] = moment.to_json()
    sys.argv = ["posebench", *arguments]
    moment.arm()
    posebench()


if __name__ == "__main__":
    main()
