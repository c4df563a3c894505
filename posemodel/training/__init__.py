"""Train a network in one process or several: the loop, its step, loss, schedule and state.

In: `TrainSettings` and a function that makes the optimizer. Out: a trained network, its metrics, and checkpoints in a
folder. Nothing here chooses hyperparameters or compares runs.
"""
