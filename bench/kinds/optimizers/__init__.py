"""The optimizers study: which optimizer, tuned and then trained, is best (words: docs/architecture.md).

In: a study file. Out: the trials to run, the analysis of their records, and its report. Each optimizer is tuned several
times independently, and each tuning's settings are trained again with fresh seeds, in confirm trials. Never runs or
records a trial.
"""
