"""Read a COCO annotation file as tools write it, and name what is wrong or unusual in it.

In: the bytes of a JSON file. Out: a document as COCO writes it, with notes of every difference and a list of problems.
Nothing here opens an image.
"""
