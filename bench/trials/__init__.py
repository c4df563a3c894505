"""What a trial is, its record and status, and the training trial that kinds share.

In: a specification; out: a record, its curve and samples. Never plans, never stores.
"""
