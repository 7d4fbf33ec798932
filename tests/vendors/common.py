"""What the Python scripts of this folder share.

    <script> SANDBOX      SANDBOX is http://ADDRESS/sandbox/INTEGRATION of a running `dev`

A script makes the calls of our tools with the vendor's own package, checks what the package made of the answers, and ends
with `OK <script>`. Each request is printed before it is sent, as `SENT {json}`. What is expected to be sent is in
sent/<script>.jsonl, where crates/providers/tests/vendors compares it with what our tools send. To record it again:

    python slack.py http://127.0.0.1:PORT/sandbox/slack | sed -n 's/^SENT //p' > sent/slack.py.jsonl
"""

import json
import sys
from urllib.parse import parse_qsl, urlsplit

TOKEN = "sandbox-access-0"
CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-client-secret"

# The rest is about the connection, or names the package.
HEADERS = {
    "authorization",
    "content-type",
    "linkedin-version",
    "x-http-method-override",
    "x-restli-method",
    "x-restli-protocol-version",
}

# Parameters that are new each time.
RANDOM = {"code", "code_challenge", "code_verifier", "refresh_token", "state"}


def sandbox():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    return sys.argv[1].rstrip("/")


def stand_in(url):
    """The address at the sandbox of what the vendor has at `url`."""
    parts = urlsplit(url)
    return sandbox() + url.removeprefix(f"{parts.scheme}://{parts.netloc}")


def meant(url, vendor):
    """The opposite, for a package that was told the address of the sandbox: what it would ask of `vendor`."""
    if not url.startswith(sandbox()):
        sys.exit(f"{url} is not at the sandbox")
    return vendor + url.removeprefix(sandbox())


def settled(pairs):
    """Pairs in an order, and alike each time."""
    return sorted([name, "(random)" if name in RANDOM else value] for name, value in pairs)


recording = True


def refusals():
    """From here on a script asks for what is refused: no tool of ours does, so nothing more is printed."""
    global recording
    recording = False


def sent(method, url, headers, body=None, decode=True):
    """Print a request. `decode=False` keeps the query as it was written, for Rest.li, where the escapes matter."""
    if not recording:
        return
    parts = urlsplit(url)
    if decode:
        query = parse_qsl(parts.query, keep_blank_values=True)
    else:
        query = [pair.split("=", 1) for pair in parts.query.split("&")]
    headers = {name.lower(): value for name, value in dict(headers).items()}
    body = body.decode() if isinstance(body, bytes) else body
    kind = headers.get("content-type", "")
    if not body:
        content = None
    elif kind.startswith("application/json"):
        content = json.loads(body)
    elif kind.startswith("application/x-www-form-urlencoded"):
        content = settled(parse_qsl(body, keep_blank_values=True))
    else:
        sys.exit(f"a body of {kind}")
    request = {
        "method": method,
        "host": parts.netloc,
        "path": parts.path,
        "query": settled(query),
        "headers": {name: headers[name] for name in sorted(HEADERS & headers.keys())},
        "body": content,
    }
    print("SENT", json.dumps(request, sort_keys=True))


def check(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: expected {expected!r}, got {got!r}")
