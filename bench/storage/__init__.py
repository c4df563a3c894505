"""Files, databases and streams shared by several processes: locks, SQLite, store addresses, masked passwords.

In: addresses and paths. Out: usable ones, or an error with the reason and the remedy. Never depends on what is stored.
"""
