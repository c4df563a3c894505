"""Exit codes of `posebench`, listed in docs/guide/studies.md; 130 (interrupted) is in `bench.engines.interruption`."""

DONE, FAILED, WRONG_USAGE, DONE_WITH_FAULTS = 0, 1, 2, 3
