"""The OpenPose-style network (heatmaps and Part Affinity Fields), its data, training, decoding and COCO scoring."""

__version__ = "0.1.0"
