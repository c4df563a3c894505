"""Names of the files that a report of any kind has."""

REPORT, APPENDIX, HTML = "report.md", "appendix.md", "report.html"
RESULT, STUDY, RECORDS = "result.json", "study.toml", "records.csv"
