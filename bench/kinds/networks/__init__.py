"""What each network of the family learns in equal time, in float32 and in bfloat16.

In: networks, precisions and seconds; out: a report with curves and pictures. Never tunes: each has its own fixed rate.
"""
