"""Checks a message as an execution agent does: reads it, takes the signature off, writes the rest again.

Standard input is the message, the first argument the client secret. Prints the message as Python writes
it, and fails if the signature is not that of the rest.
"""

import base64
import hashlib
import hmac
import json
import sys

message = json.loads(sys.stdin.buffer.read())
again = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
headers = message["headers"]
timestamp = headers.pop("X-Port-Timestamp")
signature = headers.pop("X-Port-Signature")
method = message["payload"]["action"]["invocationMethod"]
if method["type"] == "GITLAB":
    del message["headers"]
signed = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
digest = hmac.new(sys.argv[1].encode(), f"{timestamp}.{signed}".encode(), hashlib.sha256).digest()
want = "v1," + base64.b64encode(digest).decode()
if signature != want:
    sys.exit(f"signature {signature}, want {want}")
if method["agent"] is not True or not message["context"]["runId"].startswith("r_"):
    sys.exit(f"no message for an agent: {method} {message['context']}")
sys.stdout.buffer.write(again.encode())
