"""The analysis of a loader study.

In: measurements as rows. Out: a verdict. Never touches disk, clock or database.
"""
