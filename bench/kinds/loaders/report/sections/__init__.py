"""The sections of a loader study's page.

In: a `LoaderResult`. Out: paragraphs as Markdown, tables, figures. Never computes a result.
"""
