"""Find and check the image files that an annotation file names, and decode them.

In: the file names of an annotation file, a folder, and the annotated sizes. Out: paths, decoded pixels, and errors of
files. Nothing here changes a file or parses annotations.
"""
