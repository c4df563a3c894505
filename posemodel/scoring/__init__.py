"""Score people against COCO annotations: average precision of keypoints, and its ceiling.

In: people found in the images of a split, or the network that finds them. Out: COCO's ten figures. Nothing here trains.
"""
