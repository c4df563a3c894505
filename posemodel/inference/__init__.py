"""Find people with a network: heatmaps and Part Affinity Fields to people, in pictures of any kind and size.

In: a network's maps, or pictures. Out: people in the picture's own pixels, as arrays, drawings or COCO results. Nothing
here knows the true people, trains or scores.
"""
