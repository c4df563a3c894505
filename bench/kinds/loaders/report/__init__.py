"""The report of a loader study. In: a `LoaderResult`; out: findings for its page. Never computes anything."""
