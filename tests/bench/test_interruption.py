"""Signals in a process of its own: the first one interrupts, later than in a held block; the second Ctrl-C ends it."""

import signal
import socket
import subprocess
import sys
import textwrap
from collections import Counter

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


@pytest.mark.parametrize("pressed", ["before", "meanwhile"])
def test_a_held_block_that_waits_for_a_server_is_interrupted(tmp_path, pressed):
    """The block could not be completed; the waiting would take ten minutes."""
    code, said, _ = run(
        f"""
        from bench.storage.addresses import LEDGER
        from bench.storage.patience import Patience

        calls = []

        def refused():
            calls.append(1)
            if len(calls) == 3 and {pressed == "meanwhile"}:
                press(signal.SIGTERM)
            raise ConnectionRefusedError

        with interruption.defer_interrupts():
            if {pressed == "before"}:
                press(signal.SIGTERM)
            try:
                with interruption.defer_interrupts():
                    Patience(LEDGER, "postgresql://db/x")(refused)
            finally:
                print(len(calls))
        """,
        tmp_path,
    )
    assert (code, said) == (130, ["1" if pressed == "before" else "3", "interrupted"])


def test_an_interrupted_waiting_interrupts_once(tmp_path):
    code, said, _ = run(
        """
        from bench.storage import pauses

        try:
            with interruption.defer_interrupts():
                press()
                pauses.pause(600)
        except KeyboardInterrupt:
            with interruption.defer_interrupts():
                print("cleaned")
            print("left")
            raise
        """,
        tmp_path,
    )
    assert (code, said) == (130, ["cleaned", "left", "interrupted"])


def test_a_pause_in_a_grace_is_ended_by_the_grace(tmp_path):
    code, said, _ = run(
        """
        from bench.storage import pauses

        with interruption.Grace(0.5) as grace:
            press()
            pauses.pause(0.3)
            print("saved")
            try:
                pauses.pause(600)
            finally:
                print(grace.overdue)
        """,
        tmp_path,
    )
    assert (code, said) == (130, ["saved", "True", "interrupted"])


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
        late = interruption.Deadline(time.time() + 1.0)
        with late:
            pass
        time.sleep(1.2)
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


def test_a_training_may_save_itself_first(tmp_path):
    """It sees that it is to stop; whoever has caught its end goes on, and the next block is interrupted as ever."""
    code, said, _ = run(
        """
        try:
            with interruption.Grace(60) as grace:
                press(signal.SIGTERM)
                print("saving", interruption.stop_requested())
                press(signal.SIGTERM)
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            print("saved", grace.overdue)
        with interruption.defer_interrupts():
            print("held")
        interruption.check()
        print("not reached")
        """,
        tmp_path,
    )
    assert (code, " ".join(said)) == (130, "saving True saved False held interrupted")


def test_a_training_that_does_not_save_itself_in_time_is_interrupted(tmp_path):
    code, said, _ = run(
        """
        try:
            with interruption.Grace(0.3) as grace:
                press(signal.SIGTERM)
                time.sleep(60)
                print("not reached")
        except KeyboardInterrupt:
            print("overdue", grace.overdue)
        time.sleep(0.5)
        raise KeyboardInterrupt
        """,
        tmp_path,
    )
    assert (code, " ".join(said)) == (130, "overdue True interrupted")


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_what_a_process_sends_itself_is_no_second_ctrl_c(tmp_path, platform):
    """Windows has no SIGTERM to send: there an overdue training or a closed lifeline would end the process at once."""
    code, said, errors = run(
        f"""
        sys.platform = {platform!r}
        try:
            with interruption.Grace(0.3) as grace:
                press()
                for _ in range(600):
                    time.sleep(0.1)
        except KeyboardInterrupt:
            print("overdue", grace.overdue)
        interruption.interrupt_main_thread()
        time.sleep(0.2)
        print("given back")
        """,
        tmp_path,
    )
    assert (code, " ".join(said), errors) == (0, "overdue True given back", "")


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_the_first_ctrl_c_after_one_s_own_signal_is_the_first(tmp_path, platform):
    code, said, errors = run(
        f"""
        sys.platform = {platform!r}
        for handled in (signal.SIGTERM, signal.SIGINT):
            try:
                interruption.interrupt_main_thread()
                for _ in range(600):
                    time.sleep(0.1)
            except KeyboardInterrupt:
                print("asked")
            interruption._State.stop_requested = False
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        press()
        """,
        tmp_path,
    )
    assert (code, " ".join(said), errors) == (130, "asked asked interrupted", "")


def test_a_second_ctrl_c_ends_a_training_that_saves_itself(tmp_path):
    code, said, errors = run(
        """
        with interruption.Grace(60):
            press()
            press()
            time.sleep(60)
        """,
        tmp_path,
    )
    assert (code, said) == (130, [])
    assert "ended at once" in errors


def test_a_deadline_lets_a_training_save_itself(tmp_path):
    code, said, _ = run(
        """
        deadline = interruption.Deadline(time.time() + 0.3)
        try:
            with deadline, interruption.Grace(60):
                while not interruption.stop_requested():
                    time.sleep(0.01)
                print("saved")
                interruption.check()
        except KeyboardInterrupt:
            print(deadline.absorb_interrupt())
        interruption.check()
        print("goes on")
        """,
        tmp_path,
    )
    assert (code, " ".join(said)) == (0, "saved True goes on")


def test_a_loader_lives_on_while_its_training_saves_itself(tmp_path):
    """A terminal's Ctrl-C reaches the loader's processes too; without their data the training could not end its step.

    SIGTERM ends them, as from their training.
    """
    code, said, _ = run(
        """
        with interruption.Grace(60):
            for number in (signal.SIGINT, signal.SIGTERM):
                if os.fork() == 0:
                    try:
                        press(number)
                        os._exit(5)
                    except KeyboardInterrupt:
                        os._exit(7)
                print(os.waitstatus_to_exitcode(os.wait()[1]))
        """,
        tmp_path,
    )
    assert (code, said) == (0, ["5", "7"])


def test_without_a_moment_nothing_is_interrupted():
    with interruption.Deadline(None) as deadline:
        pass
    assert not deadline.absorb_interrupt()


def test_as_many_of_ones_own_signals_as_were_sent_are_no_others(monkeypatch):
    """Two were sent; the third is somebody else's, and a SIGINT would be a second Ctrl-C from then on."""
    monkeypatch.setattr(interruption._State, "own_signals", Counter({signal.SIGTERM: 2}))
    monkeypatch.setattr(interruption._State, "signal_seen", False)

    def hear(*numbers):
        receiver, sender = socket.socketpair()
        with sender:
            sender.sendall(bytes(numbers))
        interruption._listen(receiver)
        return interruption._State.signal_seen

    assert not hear(signal.SIGTERM)
    assert not hear(signal.SIGTERM, signal.SIGCHLD)
    assert interruption._State.own_signals[signal.SIGTERM] == 0
    assert hear(signal.SIGTERM)
