"""Loader studies: which DataLoader settings feed the network fastest, and whether loading or computing limits training.

In: a study file. Out: measurements as runs in MLflow, a verdict and its report. Never trains a network to use it: steps
are only timed.

Configurations are compared in panels, by blocks (fresh processes, alive side by side) that are divided into slices of
about a second; an arm is what a slice times: loading, computing or training (words: docs/architecture.md).
"""
