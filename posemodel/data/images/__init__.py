"""Locate and inspect the image files that an annotation file names.

In: file names of annotations and a folder. Out: paths, decoded pixels, and what is wrong with a file. Nothing here
reads annotations.
"""
