"""The report of a loader study.

In: a `LoaderResult`. Out: findings for its page. Never computes a result.
"""
