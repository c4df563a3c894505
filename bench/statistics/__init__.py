"""Pure functions on numbers: intervals, tests, fronts. In: arrays; out: numbers. Never knows a study or its kind."""
