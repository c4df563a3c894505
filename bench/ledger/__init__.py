"""The ledger: planned trials with their owners and states, in Optuna's storage.

In: planned trials. Out: claims, each to exactly one worker; trials of dead workers become available again. Never the
source of a result in a table: results are in MLflow (`bench.records`).
"""
