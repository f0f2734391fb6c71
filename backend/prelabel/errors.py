"""Errors that users can correct."""


class UserError(Exception):
    """A mistake that the user can correct: the command line prints it as one line and exits 2.

    The message says what was found, what was expected and what to do.
    """


class PhotoError(Exception):
    """One photo cannot be used; the message says why. It costs that photo, never the run."""


class PluginError(PhotoError):
    """A plugin failed at one photo; the message names its distribution, version, place and error."""


class ContractError(UserError):
    """A strategy broke the contract of its kind; the message names it and what it returned."""
