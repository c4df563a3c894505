"""The report of a loader study. In: a `LoaderResult`; out: report.md, tables, figures. Computes nothing."""
