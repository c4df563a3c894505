"""A process that renders: ``python -m posemodel.synthetic.worker``, started by ``pool``.

Reads pickled ``Batch``es from its standard input and answers each with as many pickled (JPEG, entry) pairs on its
standard output. It ends with its input, so it never outlives the process that started it.
"""

import os
import pickle
import signal
import sys

import cv2

from posemodel.synthetic.numbered import render_numbered


def main() -> None:
    """Render until the input ends or nobody reads the output any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes our input
    cv2.setNumThreads(1)
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not get between the answers
        try:
            while True:
                batch = pickle.load(sys.stdin.buffer)
                for split_number, index in batch.numbers:
                    pickle.dump(render_numbered(batch.seed, split_number, index, batch.size), answers)
                    answers.flush()
        except (EOFError, BrokenPipeError):
            os._exit(0)  # closing what nobody reads would fail again


if __name__ == "__main__":
    main()
