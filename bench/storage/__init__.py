"""Files, databases and streams that several processes use: locks, SQLite, addresses, passwords that nobody prints.

In: addresses and paths; out: what may be used, or the reason and the remedy. Never knows what is stored.
"""
