"""Pickles that run code if they are read carelessly, and a file server."""

import contextlib
import functools
import os
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from unittest import mock


class Called:
    """An object whose pickle calls a function with these arguments."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def touching(marker):
    """Return an object that writes the file `marker` when it is unpickled."""
    return Called(os.system, (f'touch {marker}',))


@contextlib.contextmanager
def served(file):
    """Serve a file on this machine; yield its address."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=file.parent)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server, mock.patch.dict(os.environ, no_proxy='*'):
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f'http://127.0.0.1:{server.server_port}/{file.name}'
        finally:
            server.shutdown()
