"""When processes worked on a study, and what that says of the speeds that its trials measured."""

import pandas as pd


def most_at_once(sessions: pd.DataFrame) -> int:
    """The most trials that can have run on one machine at once: the workers of all sessions that overlap there.

    Args:
        sessions: A row for each process that worked on the study: host, began_ms, heard_ms, workers.
    """
    most = 0
    for _, here in sessions.groupby("host"):
        for began in here["began_ms"]:
            lasting = here[(here["began_ms"] <= began) & (here["heard_ms"] > began)]
            most = max(most, int(lasting["workers"].sum()))
    return most
