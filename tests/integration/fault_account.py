"""A scriptable stand-in for the part of SES's API that tells an account's limits."""
import hashlib
import json
import time

from fault_metadata import FaultMetadata, signed_by
from http_stand_in import HttpStandIn

KEYS = {"AKIDRELAY": "relay-secret", "AKIDCHAIN": "chain-secret"}


class FaultAccount(HttpStandIn):
    """
    GET /v2/email/account, signed for "ses" with one of KEYS. rate, quota and the rest are what
    it answers; fault: None, "hang" (until stop), or (status, body).
    """

    def __init__(self, rate=14.0, quota=50000.0, sent=0.0, **more):
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"
        self.rate, self.quota, self.sent = rate, quota, sent
        self.more = more
        self.fault = None
        self.asked = []        # (when, key id)
        self.problems = []     # what SES would have refused

    def get(self, request):
        try:
            assert request.path == "/v2/email/account", request.path
            scope = request.headers["Authorization"].split("Credential=")[1].split(",")[0]
            assert scope.split("/")[2:] == ["eu-west-1", "ses", "aws4_request"], scope
            by = signed_by("GET", request.path, dict(request.headers),
                           hashlib.sha256(b"").hexdigest(), KEYS)
        except (AssertionError, KeyError, IndexError, TypeError) as problem:
            self.problems.append(repr(problem))
            FaultMetadata.answer(request, 400, "refused")
            return
        self.asked.append((time.monotonic(), by))
        if self.fault == "hang":
            self._stop.wait()
            request.close_connection = True
        elif self.fault:
            FaultMetadata.answer(request, *self.fault)
        else:
            FaultMetadata.answer(request, 200, json.dumps({
                "DedicatedIpAutoWarmupEnabled": False, "EnforcementStatus": "HEALTHY",
                "ProductionAccessEnabled": True, "SendingEnabled": True,
                "SendQuota": {"Max24HourSend": self.quota, "MaxSendRate": self.rate,
                              "SentLast24Hours": self.sent}, **self.more}),
                "application/json")
