"""The sections of an optimizers study's pages, in the order of reading.

In: a `StudyResult`; out: `Section`s. Never computes a statistic.
"""
