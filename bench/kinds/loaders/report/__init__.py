"""The report of a loader study. In: a `LoaderResult`; out: report.md, tables, figures. Never computes anything."""
