"""Overlap of a study's sessions (a session is one process's time on it): how many trials ran at once."""

import pandas as pd


def most_at_once(sessions: pd.DataFrame) -> int:
    """Return the maximum number of trials that can have run at once on one machine, which affects their measured
    speeds: the sum of workers of overlapping sessions.

    Args:
        sessions: A row for each process that worked on the study: host, began_ms, heard_ms, workers; and engine, if
            one ran its trials on a cluster, which counts nothing here.
    """
    if "engine" in sessions:
        sessions = sessions[sessions["engine"].isna()]
    most = 0
    for _, on_host in sessions.groupby("host"):
        for began in on_host["began_ms"]:
            overlapping = on_host[(on_host["began_ms"] <= began) & (on_host["heard_ms"] > began)]
            most = max(most, int(overlapping["workers"].sum()))
    return most
