"""Train a network: the loop, its step, loss, schedule and state, in one process or several.

In: `TrainSettings` and a function that makes the optimizer. Out: a trained network, its metrics, and checkpoints in a
folder. Nothing here chooses hyperparameters or compares runs.
"""
