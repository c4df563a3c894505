"""Read COCO data sets and make training batches from them.

In: a folder, or annotation files with image folders. Out: splits as packed arrays (`PackedSplit`), batches from a data
loader (`Batch`), and the problems of a data set. Nothing here knows a network, writes into a data set, or draws one.

- `layout.py` finds the files of a split; `annotations/` and `images/` read and check them; `open_split.py` opens it.
- `dataset.py`, `augment.py`, `targets.py`, `batch.py`, `loader.py` turn it into batches.
- `check.py` and `stats.py` implement `data check` and `data stats`.
"""
