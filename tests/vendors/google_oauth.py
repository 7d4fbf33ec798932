"""Consents at Google with Authlib: id and secret in the form, and PKCE. Command line: see common.py."""

import sys

sys.dont_write_bytecode = True

from authlib.common.security import generate_token
from consent import consent

consent(
    "https://accounts.google.com/o/oauth2/v2/auth",
    "https://oauth2.googleapis.com/token",
    "https://www.googleapis.com/auth/adwords",
    "client_secret_post",
    verifier=generate_token(64),
    access_type="offline",
    prompt="consent",
)
print("OK google_oauth.py")
