"""The sections of a report, in the order of reading; each gives its paragraphs as Markdown."""
