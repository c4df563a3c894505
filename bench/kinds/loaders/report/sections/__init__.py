"""The sections of a loader study's page.

In: a `LoaderResult`; out: paragraphs as Markdown, tables, figures. Never computes a figure.
"""
