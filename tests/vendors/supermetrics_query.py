"""Lists accounts and asks for figures with supermetrics. Command line: see common.py.

The file is not named after the package, which it would hide.
"""

import sys

sys.dont_write_bytecode = True

from common import check, meant, refusals, sandbox, sent
from supermetrics import SupermetricsClient
from supermetrics.exceptions import AuthenticationError

KEY = "api_sandbox_00000000000000000000000000000000"


def client(key):
    # The address is an option of the package. Its own hook sets the authorization, so this one comes after it.
    made = SupermetricsClient(api_key=key, base_url=sandbox())
    made._client.get_httpx_client().event_hooks["request"].append(record)
    return made


def record(request):
    url = meant(str(request.url), "https://api.supermetrics.com")
    sent(request.method, url, request.headers, request.content)


asker = client(KEY)
accounts = asker.accounts.list(ds_id="GAWA")
check("accounts", [account.account_name for account in accounts], ["Kornblume shop", "Kornblume blog"])

question = {"fields": ["Date", "Sessions"], "start_date": "2026-10-01", "end_date": "2026-10-31"}
answer = asker.queries.execute("GAWA", [accounts[0].account_id, accounts[1].account_id], **question, max_rows=200)
check("the state", answer.meta.status_code, "SUCCESS")
check("fields", [field.field_name for field in answer.meta.query.fields], ["Date", "Sessions"])
check("rows, the names first", answer.data[:2], [["Date", "Sessions"], ["2026-10-01", "12"]])
check("all rows", answer.meta.result.total_rows, 5)

slow = asker.queries.execute("GAWA", ["slow"], **question, max_rows=200)
check("a slow one", (slow.meta.status_code, slow.data), ("pending", []))
result = asker.queries.get_results(slow.meta.request_id)
check("still slow", result.meta.status_code, "pending")
result = asker.queries.get_results(slow.meta.request_id)
check("its rows", len(result.data), 4)

refusals()
try:
    client("api_wrong").accounts.list(ds_id="GAWA")
    sys.exit("a wrong key was taken")
except AuthenticationError as error:
    check("the error", error.status_code, 401)

print("OK supermetrics_query.py")
