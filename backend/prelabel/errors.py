"""The two ways in which prelabel says no."""


class UserError(Exception):
    """A mistake its user can mend: the command line prints it as one line and exits 2.

    The message says what was found, what was wanted and what to do.
    """


class PhotoError(Exception):
    """One photo cannot be used; the message says why. It costs that photo, never the run."""


class ContractError(UserError):
    """A strategy broke the promise of its kind; the message names it and what it returned."""
