"""The pages that `posebench ui` serves beside MLflow's: an index of this folder's studies, and their reports.

In: the two stores and the folder of reports, looked at only. Out: HTML and the reports' files. Nothing is written.
"""

LOOPBACK = "127.0.0.1"
PREFIX = "/studies"
"""Path of the index on the server of `posebench ui`."""
