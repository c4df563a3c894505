"""The sections of an optimizers study's page, in the order of reading.

In: a `StudyResult`; out: paragraphs as Markdown. Never computes a figure.
"""
