"""The one exception that means: the user can mend this."""

from __future__ import annotations


class SegdistillError(Exception):
    """A problem with what was asked for or given, in one message: what is wrong, where, what to do.

    The command line prints it without a traceback and exits with code 2.
    """
