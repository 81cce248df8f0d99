"""A scriptable S3 stand-in in memory, path style, for what real servers will not do on request."""
import hashlib
import socket
import threading
import urllib.parse
from xml.etree import ElementTree

from http_stand_in import HttpStandIn

_ERROR = ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
          "<Error><Code>%s</Code><Message>scripted</Message></Error>")


class FaultS3(HttpStandIn):
    """
    faults: a list used up from its front, one entry for each PUT: None stores, a pair
    (status, code) answers with that error, "close" cuts the connection. always: the same for
    every PUT while it is set. With conditions set, a key that is there is not put again
    (If-None-Match); with wrong_etags so many PUTs name another content's MD5.
    """

    def __init__(self, port=None):
        super().__init__(port)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.objects = {}      # key: bytes
        self.headers = {}      # key: headers of the PUT
        self.faults = []
        self.always = None
        self.heads = []        # statuses: used up from its front, one for each HEAD
        self.puts = 0
        self.conditions = False
        self.wrong_etags = 0
        self.asked = []        # (method, what for)
        self.uploads = {}      # upload ID: (key, headers, {part: content})
        self.overwritten = []  # keys put twice with different content
        self._lock = threading.Lock()

    def settings(self, **more):
        return {"bucket": "mail", "region": "us-east-1", "endpoint": self.endpoint,
                "path_style": True, "access_key_id": "AKIDTEST",
                "secret_access_key": "secret", **more}

    def put(self, request):
        with self._lock:
            self.puts += 1
            fault = self.always or (self.faults.pop(0) if self.faults else None)
        if fault == "close":
            request.close_connection = True
            request.connection.shutdown(socket.SHUT_RDWR)
            return
        body = request.rfile.read(int(request.headers["Content-Length"]))
        query = self.query(request)
        self.asked.append(("PUT", "part" if "uploadId" in query else "object"))
        if fault:
            self.answer(request, fault[0], (_ERROR % fault[1]).encode(), "application/xml")
            return
        _, bucket, key = request.path.partition("?")[0].split("/", 2)
        claimed = request.headers.get("x-amz-content-sha256")
        if bucket != "mail" or not request.headers.get("Authorization"):
            self.answer(request, 403, (_ERROR % "AccessDenied").encode(), "application/xml")
        elif claimed != "UNSIGNED-PAYLOAD" and claimed != hashlib.sha256(body).hexdigest():
            self.answer(request, 400, (_ERROR % "XAmzContentSHA256Mismatch").encode(),
                        "application/xml")
        elif "uploadId" in query:
            self.uploads[query["uploadId"]][2][int(query["partNumber"])] = body
            self.answer(request, 200, b"", etag_of=body)
        elif (self.conditions and request.headers.get("If-None-Match") == "*"
              and key in self.objects):
            self.answer(request, 412, (_ERROR % "PreconditionFailed").encode(),
                        "application/xml")
        else:
            with self._lock:
                if self.objects.get(key, body) != body:
                    self.overwritten.append(key)
                self.objects[key] = body
                self.headers[key] = dict(request.headers)
                wrong = self.wrong_etags > 0
                self.wrong_etags -= wrong
            self.answer(request, 200, b"", etag_of=b"wrong" if wrong else body)

    @staticmethod
    def query(request):
        return dict(urllib.parse.parse_qsl(request.path.partition("?")[2],
                                           keep_blank_values=True))

    def head(self, request):
        key = request.path.split("/", 2)[2]
        self.asked.append(("HEAD", "object"))
        with self._lock:
            body, headers = self.objects.get(key), self.headers.get(key)
        status = (self.heads.pop(0) if self.heads else None) or (404 if body is None else 200)
        request.send_response(status)
        if status == 200:
            request.send_header("Content-Length", str(len(body)))
            request.send_header("x-amz-meta-sha256", headers["x-amz-meta-sha256"])
        request.end_headers()

    def post(self, request):
        """CreateMultipartUpload and CompleteMultipartUpload."""
        body = request.rfile.read(int(request.headers["Content-Length"]))
        key = request.path.partition("?")[0].split("/", 2)[2]
        query = self.query(request)
        self.asked.append(("POST", "create" if "uploads" in query else "complete"))
        if "uploads" in query:
            identity = f"upload+{len(self.uploads)}"
            self.uploads[identity] = (key, dict(request.headers), {})
            self.answer(request, 200, (
                "<InitiateMultipartUploadResult><UploadId>%s</UploadId>"
                "</InitiateMultipartUploadResult>" % identity).encode(), "application/xml")
            return
        _, headers, parts = self.uploads.pop(query["uploadId"])
        named = [int(part.text) for part in ElementTree.fromstring(body).iter(
            "{http://s3.amazonaws.com/doc/2006-03-01/}PartNumber")]
        with self._lock:
            self.objects[key] = b"".join(parts[number] for number in named)
            self.headers[key] = headers
        self.answer(request, 200, b"<CompleteMultipartUploadResult>"
                    b"</CompleteMultipartUploadResult>", "application/xml")

    def delete(self, request):
        """DeleteObject and AbortMultipartUpload."""
        query = self.query(request)
        self.asked.append(("DELETE", "upload" if "uploadId" in query else "object"))
        if "uploadId" in query:
            self.uploads.pop(query["uploadId"], None)
        else:
            self.objects.pop(request.path.partition("?")[0].split("/", 2)[2], None)
        self.answer(request, 204, b"")

    def get(self, request):
        path, _, query = request.path.partition("?")
        key = path.split("/", 2)[2]
        signed = dict(urllib.parse.parse_qsl(query))
        with self._lock:
            body = self.objects.get(key)
        if body is None:
            self.answer(request, 404, (_ERROR % "NoSuchKey").encode(), "application/xml")
        else:
            self.answer(request, 200, body, signed.get("response-content-type"),
                        signed.get("response-content-disposition"))

    @staticmethod
    def answer(request, status, body, media_type=None, disposition=None, etag_of=None):
        request.send_response(status)
        if media_type:
            request.send_header("Content-Type", media_type)
        if disposition:
            request.send_header("Content-Disposition", disposition)
        request.send_header("ETag", '"%s"' % hashlib.md5(body if etag_of is None else etag_of)
                            .hexdigest())
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
