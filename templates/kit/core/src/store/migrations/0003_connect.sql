-- Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
-- API keys that are bound to one account, and links that a person connects by. A link is known by the hash of what stands in
-- it. `code` is the hash of what a call's answer showed, where the link came from a call; `browser` that of the cookie of
-- whoever went on first; `stage` is `open` until there is a connection, then `choosing` until something was chosen.

ALTER TABLE api_keys ADD COLUMN account TEXT;

CREATE TABLE connect_links (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    integration TEXT NOT NULL,
    account TEXT NOT NULL,
    stage TEXT NOT NULL,
    code TEXT,
    tries BIGINT NOT NULL,
    browser TEXT,
    expires_ms BIGINT NOT NULL
);

CREATE INDEX connect_links_by_end ON connect_links (expires_ms);
