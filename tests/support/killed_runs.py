"""Run `posebench` in a test and kill it at a chosen moment; the test fails if that moment is never reached."""

import signal

from tests.support.killed_moment import FLAG, MOMENT_VARIABLE, Moment
from tests.support.place import Place


def killed_at(place: Place, moment: Moment, *arguments: str) -> None:
    """Run `posebench ARGUMENTS` until ``moment``."""
    code, said = run_with(place, moment, *arguments)
    assert code == -signal.SIGKILL, f"ended with {code} at {moment}:\n{said}"


def run_with(place: Place, moment: Moment, *arguments: str) -> tuple[int, str]:
    """Run `posebench ARGUMENTS` with the moment armed; its exit code, and the end of what it said.

    Fails where nobody has met the moment.
    """
    flag = place.folder / FLAG
    flag.touch()
    done = place.run(*arguments, **{MOMENT_VARIABLE: moment.to_json()})
    said = (done.stdout + done.stderr)[-5000:]
    met = not flag.exists()
    flag.unlink(missing_ok=True)
    assert met, f"never reached, ended with {done.returncode}: {moment}\n{said}"
    return done.returncode, said
