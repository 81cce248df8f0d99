"""What the stand-ins for HTTP services have in common: a server on loopback, in threads."""
import http.server
import ssl
import threading
import time

from ports import free_port


class HttpStandIn:
    """A method of HTTP is served by the method of its name in lower case, get(request) for GET;
    request is the http.server handler."""

    tls = None       # (certificate, key)
    clock_off_s = 0  # of the service, ahead of the machine's

    def __init__(self, port=None):
        self.port = port or free_port()
        self._stop = threading.Event()
        self._server = None

    def start(self):
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def date_time_string(self, timestamp=None):
                return super().date_time_string(time.time() + service.clock_off_s)

        def served(verb):
            return lambda handler: getattr(service, verb)(handler)

        for verb in ("get", "head", "put", "post", "delete"):
            if hasattr(service, verb):
                setattr(Handler, "do_" + verb.upper(), served(verb))

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, client_address):
                pass

        self._server = Server(("127.0.0.1", self.port), Handler)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        self._stop.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
