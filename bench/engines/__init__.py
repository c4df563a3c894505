"""Who runs trials: this process, or local processes. In: claims of the ledger; out: records, events on the way.

`trial` says what a kind must offer. Never decides what is run.
"""
