"""What may go wrong between a client and its server."""


class ServerError(OSError):
    """The server failed, for a reason that is not in the request."""


class ServerUnavailableError(ServerError, ConnectionError):
    """Nothing answered at the address, however often it was tried."""


class ServerTimeoutError(ServerError, TimeoutError):
    """The server took a request and gave no answer in time."""


class Unreached(Exception):
    """One attempt was in vain, and the request may be repeated; the message says what happened."""


class Refused(Exception):
    """The server finds fault with the request; the message is the server's."""


class Absent(Exception):
    """The server has no such model; the message is the server's."""
