"""The analysis of a loader study. In: measurements as rows; out: a verdict. Never touches disk, clock or database."""
