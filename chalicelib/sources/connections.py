"""Connections of requests and urllib3 that can be cut, whatever they wait for."""

import contextlib
import socket
import threading
import weakref
from typing import Any

import requests
import urllib3

_CUT_SECONDS = 0.05


class CuttableAdapter(requests.adapters.HTTPAdapter):
    """Tracks its connections, so that they can be cut whatever they wait for: TLS, headers, a body."""

    def __init__(self) -> None:
        self._open = set[weakref.ref[Any]]()  # no WeakSet: it cannot be read while another thread adds to it
        self._pool_classes = {
            "http": _tracked_in(self._open, urllib3.HTTPConnectionPool, urllib3.connection.HTTPConnection),
            "https": _tracked_in(self._open, urllib3.HTTPSConnectionPool, urllib3.connection.HTTPSConnection),
        }
        super().__init__()

    def init_poolmanager(self, *sizes: Any, **settings: Any) -> None:
        super().init_poolmanager(*sizes, **settings)
        self.poolmanager.pool_classes_by_scheme = self._pool_classes

    def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **settings)
        manager.pool_classes_by_scheme = self._pool_classes
        return manager

    def cut_until(self, over: threading.Event) -> None:
        """Cuts them again and again, since one may still be coming about."""
        while not over.wait(_CUT_SECONDS):
            for connection in filter(None, [tracked() for tracked in list(self._open)]):
                with contextlib.suppress(OSError, AttributeError):  # it has no socket yet, or no longer
                    (connection.own_socket or connection.sock).shutdown(socket.SHUT_RDWR)


def _tracked_in(known: set[weakref.ref[Any]], pool: Any, connection: Any) -> Any:
    class Connection(connection):  # type: ignore[misc]
        own_socket = None  # it goes to the response if the server will close the connection

        def connect(self) -> None:
            known.add(weakref.ref(self, known.discard))
            self.own_socket = None
            super().connect()
            self.own_socket = self.sock

    class Pool(pool):  # type: ignore[misc]
        ConnectionCls = Connection

    return Pool
