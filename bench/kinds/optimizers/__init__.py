"""Which configuration of which optimizer trains best: tuned, then confirmed on fresh seeds.

In: a study file; out: trials to run, the analysis of their records and its report. Never runs or records a trial.
"""
