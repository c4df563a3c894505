"""From COCO annotations to batches: index, augmentation, targets, synthetic people and the loader."""
