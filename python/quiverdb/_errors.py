"""What can go wrong. Everything raised for a server's or connection's sake derives from :class:`Error`."""

import builtins


class Error(Exception):
    """Base class of this package's errors."""


class ConnectionError(Error, builtins.ConnectionError):
    """The server cannot be reached, or the connection broke."""


class TimeoutError(Error, builtins.TimeoutError):
    """Nothing was heard from the server for longer than the timeout."""


class ProtocolError(Error):
    """The peer does not speak RESP."""


class ResponseError(Error):
    """The server refused a command; the text is its own, code first."""

    @property
    def code(self) -> str:
        """First word of the message, such as ``WRONGTYPE``."""
        return str(self).partition(" ")[0]
