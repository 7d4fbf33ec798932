-- Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
-- Tenants, their keys and their connections. TEXT and BIGINT only: the dialect that SQLite, Postgres and D1 share.
-- Times are milliseconds since the epoch; hashes and sealed records are base64url text.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE tenants (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL
);

CREATE TABLE tenant_deks (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    kek_id TEXT NOT NULL,
    wrapped TEXT,
    state TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE INDEX tenant_deks_by_tenant ON tenant_deks (tenant_id, state);

CREATE TABLE connections (
    tenant_id TEXT NOT NULL,
    integration TEXT NOT NULL,
    account TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    sealed TEXT NOT NULL,
    version BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, integration, account)
);

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    label TEXT NOT NULL,
    hash TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    revoked_ms BIGINT
);

CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id);

CREATE TABLE server_keys (
    purpose TEXT NOT NULL,
    version BIGINT NOT NULL,
    kek_id TEXT NOT NULL,
    wrapped TEXT NOT NULL,
    PRIMARY KEY (purpose, version)
);
