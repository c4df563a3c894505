"""Files, databases and streams shared by several processes: locks, SQLite, store addresses, masked passwords.

In: addresses and paths. Out: usable addresses and paths, or an error with the reason and the fix. Never depends on what
is stored.
"""
