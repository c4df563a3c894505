"""A block in which an interruption is held back, as far as a trial's checkpoint sees it."""


class Held:
    """A block whose time is over, or not."""

    def __init__(self, overdue: bool = False) -> None:
        self.overdue = overdue

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *_error: object) -> None:
        pass
