"""Rendering process: ``python -m posemodel.synthetic.worker``, started by ``pool``.

It reads pickled ``Batch`` objects from standard input and writes a pickled (JPEG, entry) pair for each image to its
standard output. It ends when its input does, so it never outlives the process that started it.
"""

import os
import pickle
import signal
import sys

import cv2

from posemodel.synthetic.numbered import render_numbered


def main() -> None:
    """Render until the input ends or the output is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes our input
    cv2.setNumThreads(1)
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's prints must not mix with the answers
        try:
            while True:
                batch = pickle.load(sys.stdin.buffer)
                for split_number, index in batch.numbers:
                    pickle.dump(render_numbered(batch.seed, split_number, index, batch.size), answers)
                    answers.flush()
        except (EOFError, BrokenPipeError):
            os._exit(0)  # closing the broken pipe would fail again


if __name__ == "__main__":
    main()
