"""Loader studies: which DataLoader settings feed the network fastest, and whether loading or computing limits training.

In: a study file. Out: measurements as runs in MLflow, a verdict and its report. Never trains a network to use it: steps
are only timed.
"""
