"""Consents at LinkedIn with PyPI linkedin-api-client. Command line: see common.py."""

import sys

sys.dont_write_bytecode = True

import requests
from common import CLIENT_ID, CLIENT_SECRET, check, sent, stand_in
from linkedin_api.clients.auth.client import AuthClient
from requests.adapters import HTTPAdapter
from urllib.parse import parse_qs, urlsplit


class ToSandbox(HTTPAdapter):
    """The package has no option for its address, but shows its session, whose transport is turned round here."""

    def send(self, request, **options):
        sent(request.method, request.url, request.headers, request.body)
        request.url = stand_in(request.url)
        return super().send(request, **options)


client = AuthClient(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, redirect_url="https://mcp.test/callback")
client.session.mount("https://www.linkedin.com", ToSandbox())

url = client.generate_member_auth_url(scopes=["r_ads", "r_ads_reporting"], state="a-state")
sent("GET", url, {})
back = requests.get(stand_in(url) + "&decision=allow", allow_redirects=False, timeout=10).headers["location"]
token = client.exchange_auth_code_for_access_token(parse_qs(urlsplit(back).query)["code"][0])
check("a token", (token.status_code, token.expires_in), (200, 60 * 86_400))
check("a refresh token", token.refresh_token_expires_in, 365 * 86_400)
renewed = client.exchange_refresh_token_for_access_token(token.refresh_token)
check("another token", renewed.access_token != token.access_token, True)

print("OK linkedin_oauth.py")
