"""Study kind `networks`: each network of the family trained for equal time, in float32 and in bfloat16.

In: networks, precisions and seconds. Out: a report with curves and sample images. Never tunes: each network has its own
fixed learning rate.
"""
