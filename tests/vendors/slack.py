"""Lists channels and posts a message with slack_sdk. Command line: see common.py."""

import sys
import urllib.request

sys.dont_write_bytecode = True

from common import TOKEN, check, meant, refusals, sandbox, sent
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError


class Recorder(urllib.request.BaseHandler):
    """The package goes through urllib; the address is its option `base_url`."""

    def http_request(self, request):
        sent(request.get_method(), meant(request.full_url, "https://slack.com"), request.headers, request.data)
        return request


check("the package's own address", WebClient.BASE_URL, "https://slack.com/api/")
urllib.request.install_opener(urllib.request.build_opener(Recorder))
client = WebClient(token=TOKEN, base_url=f"{sandbox()}/api/")

names, pages = [], 0
for page in client.conversations_list(types="public_channel,private_channel", exclude_archived=True, limit=3):
    pages += 1
    names += [channel["name"] for channel in page["channels"]]
check("channels without the archived one", names, ["general", "orders", "kitchen", "agency"])
check("pages", pages, 2)

posted = client.chat_postMessage(channel="C0LANTERN01", text="The weekly report is ready.")
check("the channel", posted["channel"], "C0LANTERN01")
answer = client.chat_postMessage(channel=posted["channel"], text="And here.", thread_ts=posted["ts"])
check("the thread", answer["message"]["thread_ts"], posted["ts"])

refusals()
try:
    client.chat_postMessage(channel="C0LANTERN04", text="Hello?")
    sys.exit("a channel that the bot is not in took a message")
except SlackApiError as error:
    check("the error", error.response["error"], "not_in_channel")

print("OK slack.py")
