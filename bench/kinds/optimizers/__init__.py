"""The optimizers study: which optimizer, tuned and then trained, is best.

In: a study file. Out: the trials to run, the analysis of their records, and its report. Each optimizer is tuned several
times independently, and each tuning's settings are confirmed with fresh seeds. Never runs or records a trial.
"""
