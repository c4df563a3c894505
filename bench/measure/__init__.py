"""Measuring the machine: time, memory and hardware.

In: a process, or a piece of work. Out: seconds, bytes, a description of the machine. Knows nothing of studies.
"""
