"""The report of an optimizers study. In: a `StudyResult`; out: sections, tables, figures. Never computes statistics."""
