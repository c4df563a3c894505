"""Ctrl-C during `posebench train`: the signal's handler may run at any moment, also within a print."""

import io
import signal
import sys

from bench.cli.actions.train_output import STOPPING, stop_on_interrupt


class InterruptedStream(io.RawIOBase):
    """A stream that gets Ctrl-C while it writes."""

    def writable(self) -> bool:
        return True

    def write(self, data):
        signal.raise_signal(signal.SIGINT)
        return len(data)


def test_ctrl_c_within_a_print_stops_after_the_step_and_says_so(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(InterruptedStream()), write_through=True))
    with stop_on_interrupt() as should_stop:
        assert not should_stop()
        print("step 1: loss 0.9", file=sys.stderr, flush=True)
        assert should_stop()
    assert capfd.readouterr().err == STOPPING.decode()
