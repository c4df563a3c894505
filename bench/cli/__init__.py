"""The command line: parses, calls one function, prints. One module per verb, none imported before it is asked for."""
