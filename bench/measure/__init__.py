"""Measuring the machine. In: a process, or a piece of work; out: seconds, bytes, what the machine is.

Never knows what it is measured for.
"""
