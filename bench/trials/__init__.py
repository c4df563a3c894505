"""Trials: their specification, record and status, and the training trial that several kinds of study share.

In: a trial's specification. Out: its record, curve and samples. Never plans trials and never stores results.
"""
