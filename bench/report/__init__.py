"""Results -> figures, tables and Markdown: renders, computes nothing."""
