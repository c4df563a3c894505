"""One study from beginning to end, whatever it asks: preparation, its phases, progress, status, sessions.

In: a kind and its settings; out: a result and its report. Never knows which kind it runs.
"""
