"""What ends a stack command with one line instead of a traceback."""


class StackError(Exception):
    """The message says what is wrong and what to do about it."""
