"""The ledger: planned trials with their owners and states, in an Optuna storage (words: docs/architecture.md).

In: planned trials. Out: claims, each to exactly one worker; trials of dead workers become available again. Never the
source of a result in a table: results are in MLflow (`bench.records`).
"""
