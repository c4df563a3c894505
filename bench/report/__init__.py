"""Reports of all study kinds. In: findings; out: Markdown, HTML, figures, tables. Never computes a result."""
