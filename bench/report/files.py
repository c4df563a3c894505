"""File names of a report, the same for every kind of study."""

REPORT, APPENDIX, HTML = "report.md", "appendix.md", "report.html"
RESULT, STUDY, RECORDS = "result.json", "study.toml", "records.csv"
