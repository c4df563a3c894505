"""Findings -> Markdown, figures, tables: what the reports of all kinds share. Renders, computes nothing."""
