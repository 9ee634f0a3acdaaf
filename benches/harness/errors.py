"""What can keep a figure from being measured."""


class Wrong(Exception):
    """A server did what a right one does not. Reported as a missed figure, never counted as a success."""


class Missing(Exception):
    """Something is not on this machine. The message says how to get it."""
