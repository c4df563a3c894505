"""The analysis of a loader study. In: measurements as rows; out: a verdict. Pure: no disk, clock or database."""
