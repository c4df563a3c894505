"""Measuring a DataLoader: one configuration and one arm in a fresh process. In: a workload; out: one row.

Never loses a row: a crash, a kill and a hang are rows with a status.
"""
