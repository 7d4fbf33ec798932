"""Finds ad accounts and their figures with PyPI linkedin-api-client. Command line: see common.py."""

import sys

sys.dont_write_bytecode = True

from common import TOKEN, check, refusals, sent, stand_in
from linkedin_api.clients.restli.client import RestliClient
from requests.adapters import HTTPAdapter

VERSION = "202607"


class ToSandbox(HTTPAdapter):
    """The package has no option for its address, but shows its session, whose transport is turned round here."""

    def send(self, request, **options):
        sent(request.method, request.url, request.headers, request.body, decode=False)
        request.url = stand_in(request.url)
        return super().send(request, **options)


client = RestliClient()
client.session.mount("https://api.linkedin.com", ToSandbox())


def find(resource, finder, params, version=VERSION):
    return client.finder(
        resource_path=resource, finder_name=finder, query_params=params, access_token=TOKEN, version_string=version
    )


active = {"status": {"values": ["ACTIVE"]}}
accounts = find("/adAccounts", "search", {"pageSize": 1, "search": active})
check("accounts", [account["name"] for account in accounts.elements], ["Kornblume Bakery"])
# The package looks for `metadata` as for an attribute and never finds it; the answer that it keeps has it.
token = accounts.response.json()["metadata"]["nextPageToken"]
following = find("/adAccounts", "search", {"pageSize": 1, "pageToken": token, "search": active})
check("the next page", [account["name"] for account in following.elements], ["Kornblume Catering"])
check("the end", following.response.json()["metadata"], {})

report = find(
    "/adAnalytics",
    "analytics",
    {
        "accounts": ["urn:li:sponsoredAccount:502840441", "urn:li:sponsoredAccount:502840442"],
        "dateRange": {"start": {"year": 2026, "month": 10, "day": 1}, "end": {"year": 2026, "month": 10, "day": 31}},
        "pivot": "CAMPAIGN",
        "timeGranularity": "DAILY",
        "fields": "impressions,clicks,costInLocalCurrency,dateRange,pivotValues",
    },
)
check(
    "rows",
    [(row["pivotValues"][0], row["impressions"], row["costInLocalCurrency"]) for row in report.elements],
    [
        ("urn:li:sponsoredCampaign:710", 120, "12.34"),
        ("urn:li:sponsoredCampaign:720", 80, "4.50"),
        ("urn:li:sponsoredCampaign:710", 200, "27.66"),
    ],
)
refusals()
check("a version that has ended", find("/adAccounts", "search", {}, "202511").status_code, 426)

print("OK linkedin.py")
