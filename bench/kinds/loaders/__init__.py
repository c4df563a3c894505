"""Which settings of the data loader feed the network best, and what limits it.

In: a study file; out: measurements as runs in MLflow, a verdict and its report. Never trains.
"""
