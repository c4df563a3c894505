"""What the reports of all kinds share. In: findings; out: Markdown, figures, tables. Never computes anything."""
