"""The report of a loader study."""
