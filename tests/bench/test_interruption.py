"""Signals in a process of its own: the first one interrupts, later than in a held block; the second Ctrl-C ends it."""

import signal
import subprocess
import sys
import textwrap

import pytest

from bench.engines import interruption

BEGIN = """
import os, signal, sqlite3, sys, time
from bench.engines import interruption

def press(number=signal.SIGINT):
    os.kill(os.getpid(), number)
    time.sleep(0.05)

def main():
"""
END = """
with interruption.handle_signals():
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(130)
"""


def run(body, tmp_path, **arguments):
    program = tmp_path / "program.py"
    program.write_text(BEGIN + textwrap.indent(textwrap.dedent(body), "    ") + END)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in background
    try:
        process = subprocess.run(
            [sys.executable, program], capture_output=True, text=True, timeout=120, check=False, **arguments
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert "Traceback" not in process.stderr, process.stderr
    return process.returncode, process.stdout.split(), process.stderr


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_the_first_signal_interrupts(tmp_path, number):
    assert run(f"press(signal.{number}); print('not reached')", tmp_path)[:2] == (130, ["interrupted"])


def test_a_held_block_runs_to_its_end_first(tmp_path):
    code, said, _ = run(
        """
        with interruption.defer_interrupts():
            with interruption.defer_interrupts():
                press()
            print("inner")
            press(signal.SIGTERM)
            print("outer")
        print("not reached")
        """,
        tmp_path,
    )
    assert (code, said) == (130, ["inner", "outer", "interrupted"])


def test_sigterm_may_come_again(tmp_path):
    code, said, _ = run(
        """
        try:
            press()
        finally:
            press(signal.SIGTERM); press(signal.SIGTERM)
            print("cleaned")
        """,
        tmp_path,
    )
    assert (code, said) == (130, ["cleaned", "interrupted"])


def test_a_second_ctrl_c_ends_a_process_that_hears_no_handler(tmp_path):
    """It waits in SQLite's C code for a lock that nobody gives back."""
    code, said, errors = run(
        """
        locked = sqlite3.connect("x.db", isolation_level=None)
        locked.execute("BEGIN EXCLUSIVE")
        try:
            press()
        finally:
            if os.fork() == 0:
                for _ in range(6000):
                    if os.path.exists("inside"):
                        break
                    time.sleep(0.01)
                time.sleep(0.5)
                os.kill(os.getppid(), signal.SIGINT)
                os._exit(0)
            with interruption.on_immediate_exit(lambda: print("leaving", flush=True)):
                open("inside", "w").close()
                sqlite3.connect("x.db", timeout=100).execute("CREATE TABLE y (z)")
        """,
        tmp_path,
        cwd=tmp_path,
    )
    assert (code, said) == (130, ["leaving"])
    assert "ended at once" in errors


def test_a_forked_child_s_signal_is_not_the_parent_s(tmp_path):
    """A data loader's processes get a terminal's Ctrl-C too."""
    code, said, _ = run(
        """
        with interruption.defer_interrupts():
            press()
            for _ in range(2):
                if os.fork() == 0:
                    try:
                        press()
                    except KeyboardInterrupt:
                        os._exit(7)
                assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
            time.sleep(0.2)
            print("alive")
        """,
        tmp_path,
    )
    assert (code, said) == (130, ["alive", "interrupted"])


def test_a_swallowed_interruption_is_raised_again(tmp_path):
    code, said, _ = run(
        """
        try:
            press()
        except BaseException:
            print("swallowed")
        interruption.check()
        print("not reached")
        """,
        tmp_path,
    )
    assert (code, said) == (130, ["swallowed", "interrupted"])


def test_an_interruption_in_a_destructor_prints_nothing_and_is_raised_again(tmp_path):
    code, said, errors = run(
        """
        class Library:
            def __del__(self):
                press()

        library = Library()
        del library
        print("swallowed")
        interruption.check()
        print("not reached")
        """,
        tmp_path,
    )
    assert (code, said, errors) == (130, ["swallowed", "interrupted"], "")


def test_ignored_signals_stay_ignored_and_handlers_are_given_back(tmp_path):
    def before(_number, _frame):
        raise AssertionError("not called here")

    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, before)
        with interruption.handle_signals():
            signal.raise_signal(signal.SIGINT)
            interruption.check()
            assert signal.getsignal(signal.SIGTERM) is not before
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is before
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def test_a_deadline_interrupts_its_block_once_and_is_forgotten(tmp_path):
    """Whoever has caught it goes on: nobody has asked to stop, and the first Ctrl-C after it is the first."""
    code, said, _ = run(
        """
        deadline = interruption.Deadline(time.time() + 0.3)
        try:
            with deadline:
                time.sleep(60)
        except KeyboardInterrupt:
            print("over", deadline.absorb_interrupt(), interruption.stop_requested())
        interruption.check()
        late = interruption.Deadline(time.time() + 0.2)
        with late:
            pass
        time.sleep(0.4)
        print("late", late.passed)
        try:
            press()
        except KeyboardInterrupt:
            print("asked", late.absorb_interrupt(), interruption.stop_requested())
            raise
        """,
        tmp_path,
    )
    assert (code, " ".join(said)) == (130, "over True False late False asked False True interrupted")


def test_without_a_moment_nothing_is_interrupted():
    with interruption.Deadline(None) as deadline:
        pass
    assert not deadline.absorb_interrupt()
