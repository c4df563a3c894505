"""Run trials, in this process or in several local processes.

In: trials claimed from the ledger. Out: records in MLflow, and events while they run. Never decides which trials are
run. `trial` defines what a kind of study must implement.
"""
