"""Quiver from Python: clients for the server, with vectors straight from numpy, and its index in-process.

>>> import quiverdb, numpy as np
>>> with quiverdb.Client() as db:                                    # doctest: +SKIP
...     db.set("greeting", "hello")
...     db.upsert("docs", np.eye(2, 8, dtype="f4"), ids=["a", "b"])
...     db.search("docs", np.ones(8, "f4"), k=1).ids
"""

from quiverdb._errors import ConnectionError, Error, ProtocolError, ResponseError, TimeoutError
from quiverdb._native import __version__
from quiverdb.aio import AsyncClient
from quiverdb.client import Client
from quiverdb.features import Feature, FeatureTable, Status, View
from quiverdb.index import Index
from quiverdb.results import SearchResult, SearchResults
from quiverdb.retry import Retry
from quiverdb.semantic_cache import Hit, SemanticCache

__all__ = [
    "AsyncClient",
    "Client",
    "ConnectionError",
    "Error",
    "Feature",
    "FeatureTable",
    "Hit",
    "Index",
    "ProtocolError",
    "ResponseError",
    "Retry",
    "SearchResult",
    "SearchResults",
    "SemanticCache",
    "Status",
    "TimeoutError",
    "View",
    "__version__",
]
