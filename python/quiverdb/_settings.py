"""How a client is made, copied and pickled: what the blocking and the asynchronous one have in common."""

from __future__ import annotations

from typing import Any, Optional, TypeVar

from quiverdb._words import settings_of_url
from quiverdb.retry import Retry

_Client = TypeVar("_Client", bound="Configured")


class Configured:
    """A client by its settings. A copy, also in another process, connects anew."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 6379,
        password: Optional[str] = None,
        db: int = 0,
        timeout: Optional[float] = 5.0,
        *,
        username: Optional[str] = None,
        decode: bool = False,
        retry: Optional[Retry] = Retry(),
    ) -> None:
        self.__setstate__(
            {"host": host, "port": port, "username": username, "password": password, "db": db, "timeout": timeout,
             "decode": decode, "retry": retry}
        )

    @classmethod
    def from_url(cls: type[_Client], url: str, **settings: Any) -> _Client:
        """Connects to ``redis://[[user]:password@]host[:port][/db]``."""
        return cls(**{**settings_of_url(url), **settings})

    def __getstate__(self) -> dict[str, Any]:
        return self._settings

    def __setstate__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        # What Redis does not have is asked for until a server says so.
        self._has_own_commands = True
        self._connect(settings)

    def _connect(self, settings: dict[str, Any]) -> None:
        raise NotImplementedError
