"""The analysis of a loader study (words such as panel, block, slice and arm: docs/architecture.md).

In: measurements as rows. Out: a verdict. Never touches disk, clock or database.
"""
