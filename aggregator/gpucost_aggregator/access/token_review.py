"""TokenReview: the API server of the aggregator's own cluster is asked whose a token is."""

from gpucost_aggregator.access.api_server import TOKEN_REVIEW, ApiServer, review
from gpucost_aggregator.access.caller import Caller
from gpucost_aggregator.access.service_accounts import Claims, account_caller, peek, unknown
from gpucost_aggregator.access.writers_file import Accounts

_NODE = "authentication.kubernetes.io/node-name"


def reviewed_caller(token: str, accounts: Accounts, server: ApiServer) -> Caller:
    """
    Whose *token* is, as *server* says; blocks while it is asked.

    Raises:
        Refused: It says that the token is not valid for the audience, or its account is none of *accounts*.
        Retry: It can not be asked.
    """
    said = peek(token)
    account_caller(said, accounts)  # What would be refused anyway is not worth a request.
    status = review(server, TOKEN_REVIEW, {"token": token, "audiences": [accounts.audience]})
    if not status.get("authenticated") or accounts.audience not in status.get("audiences", ()):
        raise unknown(f"the API server does not know the token: {str(status.get('error', ''))[:200]}")
    user = status.get("user") or {}
    node = ((user.get("extra") or {}).get(_NODE) or [""])[0]
    # An API server before 1.30 does not tell the node, and the token that it found valid may.
    return account_caller(
        Claims(said.issuer, str(user.get("username", "")), str(node) or said.node, said.until_ns), accounts
    )
