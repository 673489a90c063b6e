"""Cutting connections, some of which are gone already, or have no socket yet."""

import socket
import weakref
from types import SimpleNamespace

from chalicelib.sources.connections import CuttableAdapter


class Connection:
    """As an adapter tracks it."""

    own_socket = None

    def __init__(self, adapter, sock):
        self.sock = sock
        adapter._open.add(weakref.ref(self))


def test_a_connection_is_cut_whatever_has_become_of_others():
    adapter, gone, (ours, theirs) = CuttableAdapter(), socket.socket(), socket.socketpair()
    gone.close()
    is_over = iter([False, False, True])

    with ours, theirs:
        tracked = [Connection(adapter, sock) for sock in (gone, ours, None)]
        adapter.cut_until(SimpleNamespace(wait=lambda seconds: next(is_over)))
        theirs.settimeout(10)
        assert theirs.recv(1) == b""

    assert len(tracked) == 3
