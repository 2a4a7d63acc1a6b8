"""The one exception type for mistakes that a user can mend."""


class UserError(ValueError):
    """A mistake in a setting, file, folder or array: one line that names culprit and remedy.

    Entry points print the message and exit with a non-zero code, without a traceback. Library
    code raises it wherever outside data or settings are refused.
    """
