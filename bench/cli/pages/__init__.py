"""Pages that `posebench ui` serves next to MLflow's: an index of this folder's studies, and their reports.

In: the two stores and the folder of reports. Out: HTML and the reports' files. Never writes anything.
"""

LOOPBACK = "127.0.0.1"
PREFIX = "/studies"
"""URL path of the index."""
