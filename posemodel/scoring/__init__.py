"""Score people against COCO annotations: average precision (AP) of keypoints, and its upper limit.

In: people found in the images of a split, or the network that finds them. Out: COCO's ten keypoint metrics. Nothing
here trains.
"""
