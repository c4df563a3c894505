"""Pure functions on numbers: intervals, tests, fronts. In: arrays; out: numbers. Knows nothing of studies."""
