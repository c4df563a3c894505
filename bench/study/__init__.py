"""Run one study of any kind from beginning to end: preparation, phases, progress, status, sessions.

In: a kind of study and its settings. Out: a result and its report. Never depends on a particular kind.
"""
