"""Generate the pages of docs/reference from the declarations that the program itself uses.

Commands come from their Typer signatures, study settings from the specifications of the kinds, training settings from
`TrainSettings`. Nothing on these pages depends on the machine or on the width of a terminal.

    python -m tests.support.reference            # lists the pages that are out of date
    python -m tests.support.reference --write    # writes them
"""
