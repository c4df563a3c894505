"""Read COCO annotation files as annotation tools write them, and list what is unusual or wrong in them.

In: the bytes of a JSON file. Out: the document as COCO writes it, a note for each kind of difference, and a list of
problems. Nothing here opens an image or writes a file.
"""
