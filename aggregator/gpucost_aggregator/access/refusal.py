"""Why a caller is not let in."""

from enum import StrEnum

from gpucost.trouble import Reject


class Why(StrEnum):
    """The kinds of refusal, as they are counted."""

    UNKNOWN = "unknown_caller"
    NOT_ALLOWED = "not_allowed"
    OTHER_CLUSTER = "other_cluster"
    TOO_MANY = "too_many"


WHYS = tuple(why.value for why in Why)


class Refused(Reject):
    """
    A caller is not let in. The text goes to the caller and tells nothing of who else is known here.

    *detail* is for the log: what exactly did not fit. Neither ever holds a token.
    """

    def __init__(self, why: Why, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.why = why
        self.detail = detail
