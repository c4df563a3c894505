"""Exit codes of `posebench`, those of the README; 130, interrupted, is `bench.engines.interruption`'s."""

DONE, FAILED, WRONG_USAGE, DONE_WITH_FAULTS = 0, 1, 2, 3
