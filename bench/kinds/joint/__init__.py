"""One search over optimizer, hyperparameters and loader settings, its picks trained again with fresh seeds.

In: a study file; out: trials to run, the analysis of their records as findings. Never records a trial.
"""
