"""The Optuna storage: what is planned, who runs it, how it ended. In: trials; out: claims, each to one worker.

A worker that died gives its trial back here. Never holds a result that a table reads.
"""
