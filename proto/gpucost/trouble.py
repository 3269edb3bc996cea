"""
Three kinds of trouble, told apart by what to do about them.

Each is logged once, by whoever owns the work that failed.
"""


class Retry(Exception):
    """It may work later: an absent peer, a timeout, a file that is not there yet."""


class Reject(Exception):
    """This input can never be accepted; the next one may be fine."""


class Stop(Exception):
    """
    The program can not go on; a person has to do something.

    *exit_code*: 2 settings or usage, 3 no driver, 4 permission, 5 store locked or of a newer schema, 6 port in use.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


EXIT_SETTINGS = 2
EXIT_NO_DRIVER = 3
EXIT_PERMISSION = 4
EXIT_STORE = 5
EXIT_PORT = 6
