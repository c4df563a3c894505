"""Which optimizer, tuned and then trained, is best: each is tuned several times, and each time confirmed.

In: a study file; out: trials to run, the analysis of their records and its report. Never runs or records a trial.
"""
