"""Quiver from Python: a client for the server, with vectors straight from numpy, and its index in-process.

>>> import quiverdb, numpy as np
>>> with quiverdb.Client() as db:                                    # doctest: +SKIP
...     db.set("greeting", "hello")
...     db.add("docs", ["a", "b"], np.eye(2, 8, dtype="f4"))
...     db.search("docs", np.ones(8, "f4"), k=1).ids
"""

from quiverdb._errors import ConnectionError, Error, ProtocolError, ResponseError, TimeoutError
from quiverdb._native import __version__
from quiverdb.client import Client
from quiverdb.index import Index
from quiverdb.results import SearchResult

__all__ = [
    "Client",
    "ConnectionError",
    "Error",
    "Index",
    "ProtocolError",
    "ResponseError",
    "SearchResult",
    "TimeoutError",
    "__version__",
]
