"""Trials: specification, record and status, and the training trial of several kinds (words: docs/architecture.md).

In: a trial's specification. Out: its record, curve and samples. Never plans trials and never stores results.
"""
