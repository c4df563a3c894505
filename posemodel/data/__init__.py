"""Read COCO data sets and make training batches of them.

In: a folder, or annotation files with image folders. Out: splits as packed arrays (`PackedSplit`), batches from a data
loader (`Batch`), and the problems of a data set. Nothing here knows a network, writes into a data set, or draws one.

- `layout.py` finds the files of a split; `annotations/` and `images/` read and check them; `open_split.py` opens it.
- `dataset.py`, `augment.py`, `targets.py`, `batch.py`, `loader.py` make batches of it.
- `check.py` and `stats.py` are `data check` and `data stats`.
"""
