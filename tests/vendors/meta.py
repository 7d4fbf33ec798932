"""Lists ad accounts, campaigns and insights with facebook_business. Command line: see common.py."""

import sys

sys.dont_write_bytecode = True

from common import CLIENT_ID, CLIENT_SECRET, check, refusals, sent, stand_in
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adsinsights import AdsInsights
from facebook_business.adobjects.campaign import Campaign
from facebook_business.adobjects.user import User
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from requests.adapters import HTTPAdapter

TOKEN = "EAASandboxSystemUser0"
SHOP = "act_1000000000000001"


class ToSandbox(HTTPAdapter):
    """The package has no option for its address, only the attribute that is read here: the transport is turned round."""

    def send(self, request, **options):
        sent(request.method, request.url, request.headers, request.body)
        request.url = stand_in(request.url)
        return super().send(request, **options)


def api(token):
    made = FacebookAdsApi.init(CLIENT_ID, CLIENT_SECRET, token, crash_log=False)
    made._session.requests.mount("https://graph.facebook.com", ToSandbox())
    return made


api(TOKEN)
accounts = User(fbid="me").get_ad_accounts(
    fields=[AdAccount.Field.id, AdAccount.Field.name, AdAccount.Field.account_status, AdAccount.Field.currency],
    params={"limit": 2},
)
check(
    "accounts over two pages",
    [(account["id"], account["name"], account["account_status"], account["currency"]) for account in accounts],
    [
        (SHOP, "Kestrel Bicycles", 1, "EUR"),
        ("act_1000000000000002", "Kestrel Bicycles Outlet", 1, "GBP"),
        ("act_1000000000000003", "Kestrel, old shop", 101, "EUR"),
    ],
)

campaigns = AdAccount(SHOP).get_campaigns(
    fields=["id", "name", "status", "effective_status", "objective", "start_time", "stop_time"],
    params={"effective_status": [Campaign.EffectiveStatus.active], "limit": 50},
)
found = [(campaign["name"], campaign["objective"]) for campaign in campaigns]
check("campaigns", found, [("Winter collection", Campaign.Objective.outcome_sales)])

insights = AdAccount(SHOP).get_insights(
    fields=["campaign_id", "campaign_name", "account_currency", "impressions", "clicks", "reach", "spend"],
    params={
        "level": AdsInsights.Level.campaign,
        "date_preset": AdsInsights.DatePreset.last_7d,
        "time_increment": 1,
        "limit": 50,
    },
)
row = insights[0]
check("days", (len(insights), row["date_start"], row["date_stop"]), (14, "2026-11-15", "2026-11-15"))
check("a row", (row["campaign_name"], row["impressions"], row["spend"]), ("Winter collection", "1070", "4.81"))

refusals()
try:
    api(TOKEN.removesuffix("0") + "-463")
    list(AdAccount(SHOP).get_campaigns())
    sys.exit("a token that has ended was taken")
except FacebookRequestError as error:
    check("the error", (error.api_error_code(), error.api_error_subcode()), (190, 463))

print("OK meta.py")
