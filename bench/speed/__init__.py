"""Benchmark parts of this project against yardsticks: the plainest ways to do the same work.

In: sizes, a device and, optionally, a data set. Out: a `Row` for each comparison, with both times and their ratio.
Never reports a time without its yardstick measured in the same run.
"""
