"""Consents at Slack with Authlib: id and secret in HTTP Basic, no PKCE. Command line: see common.py."""

import sys

sys.dont_write_bytecode = True

from consent import consent

consent(
    "https://slack.com/oauth/v2/authorize",
    "https://slack.com/api/oauth.v2.access",
    "channels:read,groups:read,chat:write",
    "client_secret_basic",
)
print("OK slack_oauth.py")
