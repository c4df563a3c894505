"""Who runs the worker: this process, or local processes."""
