"""Read COCO annotation files as annotation tools write them, and list what is unusual or wrong in them.

In: the bytes of a JSON file. Out: the parsed file in COCO's form, a note for each kind of correction, and a list of
problems. Nothing here opens an image or writes a file.
"""
