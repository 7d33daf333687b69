"""Receive webhooks of evertrain: check the signature, answer at once, and do each event once."""

import base64
import hashlib
import hmac
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

TOLERANCE_S = 300
done: set[str] = set()  # a real receiver keeps these: an event may come twice


def verified(secret: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """The event, if whoever sent it knows the secret and sent it just now. headers: by lower-case name."""
    name, at = headers["webhook-id"], headers["webhook-timestamp"]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = hmac.new(key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
    given = [base64.b64decode(each[3:]) for each in headers["webhook-signature"].split() if each.startswith("v1,")]
    if not any(hmac.compare_digest(wanted, each) for each in given):
        raise ValueError("the signature is wrong")
    if abs(time.time() - int(at)) > TOLERANCE_S:
        raise ValueError("the message is too old")
    event: dict[str, Any] = json.loads(body)
    return event


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = verified(sys.argv[1], {name.lower(): value for name, value in self.headers.items()}, body)
        except (KeyError, ValueError) as error:
            self.send_error(401, str(error))
            return
        self.send_response(204)
        self.end_headers()
        if event["id"] not in done:
            done.add(event["id"])
            print(event["time"], event["type"], event["subject"], event["data"]["reason"], flush=True)


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 9000), Receiver).serve_forever()
