"""Run one study of any kind from beginning to end (words: docs/architecture.md).

That is preparation, phases, progress, status and sessions.

In: a kind of study and its settings. Out: a result and its report. Never depends on a particular kind.
"""
