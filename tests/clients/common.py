"""What the Python client scripts share: the command line, the checks, the time limit.

    <script> http URL KEY TOOL ARGS_JSON EXPECT
    <script> stdio TOOL ARGS_JSON EXPECT -- CMD ARG...

A script connects, lists the tools, calls TOOL and looks for EXPECT in the text of the answer.
It prints `OK <client> <protocol version or ?>`, or explains itself on standard error and exits 1.
"""

import asyncio
import json
import os
import sys
import threading
from dataclasses import dataclass, field

TIMEOUT_SECONDS = 50
# A client may need a while to end a server that does not react.
EXIT_SECONDS = 60


class Failure(Exception):
    """The server did not do what the test expects."""


@dataclass
class Target:
    tool: str
    arguments: dict
    expect: str
    url: str | None = None
    key: str = ""
    command: list[str] = field(default_factory=list)

    @property
    def is_http(self):
        return self.url is not None

    @property
    def headers(self):
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    @property
    def environment(self):
        """Everything: left to themselves, the clients pass only a few variables to the server."""
        return dict(os.environ)

    def check_listed(self, names):
        names = list(names)
        if self.tool not in names:
            raise Failure(f"tool {self.tool!r} is not listed, only {names}")

    def check_answer(self, is_error, text):
        if is_error:
            raise Failure(f"{self.tool} failed: {text}")
        if self.expect not in text:
            raise Failure(f"expected {self.expect!r} in the answer of {self.tool}: {text!r}")


def text_of(blocks):
    """The text of a tool result, whose blocks are objects or (in LangChain) dictionaries."""
    if isinstance(blocks, str):
        return blocks
    texts = [block.get("text") if isinstance(block, dict) else getattr(block, "text", None) for block in blocks]
    return "\n".join(text for text in texts if text)


def parse(arguments):
    match arguments:
        case ["http", url, key, tool, values, expect]:
            return Target(tool, json.loads(values), expect, url=url, key=key)
        case ["stdio", tool, values, expect, "--", _, *_]:
            return Target(tool, json.loads(values), expect, command=arguments[5:])
    raise Failure(__doc__.strip())


def explain(error, seen):
    """One line per error: the members of groups (task groups wrap all they pass on), then the causes."""
    if error is None or error in seen:
        return
    seen.append(error)
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from explain(inner, seen)
    elif isinstance(error, Failure):
        yield str(error)
    else:
        yield f"{type(error).__name__}: {error}"
        yield from explain(error.__cause__ or error.__context__, seen)


def give_up():
    print(f"no result after {EXIT_SECONDS} s, and the client cannot be cancelled", file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)


def main(client, run):
    """Run the coroutine function `run(target)`, which returns the negotiated protocol version or None."""
    watchdog = threading.Timer(EXIT_SECONDS, give_up)
    watchdog.daemon = True
    watchdog.start()
    try:
        target = parse(sys.argv[1:])
        version = asyncio.run(asyncio.wait_for(run(target), TIMEOUT_SECONDS))
    except TimeoutError as error:
        sys.exit(f"{client}: {str(error) or f'no result after {TIMEOUT_SECONDS} s'}")
    except BaseException as error:
        # A set in order: the same error often hangs on several tasks.
        sys.exit(f"{client}: " + "\n".join(dict.fromkeys(explain(error, []))))
    print("OK", client, version or "?")
