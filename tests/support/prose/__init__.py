"""Check the numbers in README and docs against the files that they come from, by markers in HTML comments.

A marker is a comment after the numbers that it holds, in the same paragraph, list item or table cell. It holds as many
of the numbers before it as it names columns, back to the marker before it:

    Adam, AP 0.292 [0.276, 0.308]<!-- from reports/a/summary.csv name=adam: ap_mean, ap_low, ap_high -->, beats all.

- The file is CSV, JSON or TOML, with its path from the repository's root; `computed` means `computed.py`.
- Words up to the colon lead into it. A word is a key; `*` makes rows of members, with their names in the column `key`;
  `column=value` and `column!=value` choose rows: `*` in the value stands for anything, `|` between two for either.
  Double quotes hold spaces.
- Columns are Python expressions: a name, `a.b` for a key in a key, double quotes around a name with spaces, numbers,
  `+ - * /`, `round(x, -2)`, and over several rows `min(x)`, `max(x)`, `sum(x)`, `mean(x)`, `median(x)`, `sd(x)`,
  `count()` and `each(x)`, a number for each row. `_` is a number that the marker does not hold.
- After `;` follow other words and columns, of the same file where they name none.
- A number agrees if its source, rounded to as many decimals, is the same.

A table's markers stand above it. They hold all numbers of a row or column in their order, or of several columns by the
names in its rows (`{optimizer}` is the row's cell in that column). Cells may have markers of their own, too.

    <!-- row "Adam" from reports/a/summary.csv name=adam: ap_mean, ap_low, ap_high -->
    <!-- column "ms" from reports/a/speed.json results name=step parts_ms: forward, backward -->
    <!-- table from reports/a/summary.csv name={optimizer}: AP = ap_mean; "95 % interval" = ap_low, ap_high -->

A number that looks measured (a decimal, a share, a time, a size, a speed; not after `<=`, `>=`, `version`, `Python`)
needs a marker, or a comment that says why no file holds it. That comment allows the numbers that it names, or `all
numbers`, in its paragraph, item or cell, or in the table below it:

    <!-- no source: 0.61 is a definition, 95 % the level of the intervals -->

No marker begins a line inside a paragraph: Markdown would end the paragraph there. In a table it holds no `|`.

    python -m tests.support.prose            # lists numbers that their source contradicts, or without a source
    python -m tests.support.prose --write    # writes the sources' numbers into the pages
"""
