"""A consent, its code exchanged and its token renewed by Authlib, which knows of no provider more than a script tells it.

Requests go to where the provider has its endpoints, and the transport is turned round to the sandbox.
"""

import requests
from authlib.integrations.requests_client import OAuth2Session
from requests.adapters import HTTPAdapter

from common import CLIENT_ID, CLIENT_SECRET, check, sent, stand_in

REDIRECT_URI = "https://mcp.test/callback"


class ToSandbox(HTTPAdapter):
    def send(self, request, **options):
        sent(request.method, request.url, request.headers, request.body)
        request.url = stand_in(request.url)
        return super().send(request, **options)


def consent(authorize_url, token_url, scope, client_auth, verifier=None, **params):
    session = OAuth2Session(
        CLIENT_ID,
        CLIENT_SECRET,
        scope=scope,
        redirect_uri=REDIRECT_URI,
        token_endpoint_auth_method=client_auth,
        code_challenge_method="S256" if verifier else None,
    )
    session.mount("https://", ToSandbox())

    url, state = session.create_authorization_url(authorize_url, code_verifier=verifier, **params)
    sent("GET", url, {})
    back = requests.get(stand_in(url) + "&decision=allow", allow_redirects=False, timeout=10).headers["location"]

    given = {"code_verifier": verifier} if verifier else {}
    token = session.fetch_token(token_url, authorization_response=back, state=state, **given)
    check("a token", token["access_token"].startswith("sandbox-access-"), True)
    renewed = session.refresh_token(token_url, refresh_token=token["refresh_token"])
    check("another one", renewed["access_token"] != token["access_token"], True)
