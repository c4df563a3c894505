"""Study kind `joint`: one search over optimizer, hyperparameters and loader settings together.

The best configurations ("picks") are trained again with fresh seeds, in confirm trials (words: docs/architecture.md).
In: a study file. Out: the trials to run, and the findings of their records. Never records a trial.
"""
