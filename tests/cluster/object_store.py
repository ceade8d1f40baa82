"""An object store on this machine that answers late and fails now and then: moto's S3 behind a faulty door."""

import contextlib
import threading
import time

import numpy as np

from schemas.hashing import random_u64

LATENCY = 0.05
FAILING = 0.05


class Faulty:
    """A WSGI application that waits before each answer, and for a share of the requests answers 503 instead."""

    def __init__(self, application):
        self._application, self._lock = application, threading.Lock()
        self.requests = self.failed = 0

    def __call__(self, environ, start_response):
        time.sleep(LATENCY)
        with self._lock:
            fails = random_u64(0, "fault", np.array([self.requests]))[0] < np.uint64(FAILING * 2**64)
            self.requests += 1
            self.failed += int(fails)
        if fails:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            start_response("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]
        return self._application(environ, start_response)


@contextlib.contextmanager
def served():
    """(the faulty application, its address), as long as the block runs."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_):
            pass

    faulty = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, faulty, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield faulty, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
