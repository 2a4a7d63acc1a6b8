"""The one exception type for mistakes that a user can mend."""


class UserError(Exception):
    """A mistake in a flag, file or folder: one line that names the culprit and the remedy.

    Entry points print the message and exit with a non-zero code, without a traceback. Library
    code raises it wherever outside data or settings are refused.
    """
