"""Find people in pictures of any format and size: run a network, decode its heatmaps and Part Affinity Fields.

In: a network's maps, or pictures. Out: people in the picture's own pixels, as arrays, drawings or COCO results. Nothing
here reads annotations, trains or scores.
"""
