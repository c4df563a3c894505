"""The report of an optimizers study. In: a `StudyResult`; out: report.md, tables, figures. Never computes anything."""
