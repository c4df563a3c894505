"""Measuring a data loader: one configuration at a time, in a process of its own.

In: a workload (data set and step) and loader settings. Out: slices (about a second of its loop each) with their times,
or the status in which it failed. Never loses a measurement: a crash, a kill and a hang are results with a status.
"""
