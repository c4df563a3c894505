"""Run the trials of a study (words: docs/architecture.md), in this process or in several local processes.

In: trials claimed from the ledger. Out: records in MLflow, and events while the trials run. Never decides which trials
are run. `trial` defines what a kind of study must implement.
"""
