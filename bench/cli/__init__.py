"""The command line: parses, calls one function, prints. One module per verb; heavy imports inside the commands."""
