-- Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
-- The audit: one row a call, an intent or a command, chained by `hash` within its stream. `record` is canonical JSON and holds
-- everything that the hash covers; the other columns are there to find it by. `tenant_id` is the tenant's name, or its
-- pseudonym once it was deleted. Call ids begin with the time, so their index is in the order of time.
-- `audit_checkpoints` holds the heads of streams, `audit_tombstones` what stands for purged rows, `audit_exports` how far
-- streams were exported. `usage_clients` is usage by the calling program, `captures` whole calls, sealed.

CREATE TABLE audit (
    stream TEXT NOT NULL,
    seq BIGINT NOT NULL,
    tenant_id TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    call_id TEXT NOT NULL,
    record TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (stream, seq)
);

CREATE INDEX audit_by_tenant ON audit (tenant_id, at_ms);
CREATE INDEX audit_by_call ON audit (call_id);

CREATE TABLE audit_checkpoints (
    seq BIGINT PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL
);

CREATE TABLE audit_tombstones (
    stream TEXT NOT NULL,
    through BIGINT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (stream, through)
);

CREATE TABLE audit_exports (
    stream TEXT PRIMARY KEY,
    through BIGINT NOT NULL
);

CREATE TABLE usage_clients (
    tenant_id TEXT NOT NULL,
    tool TEXT NOT NULL,
    hour BIGINT NOT NULL,
    client TEXT NOT NULL,
    client_version TEXT NOT NULL,
    server_version TEXT NOT NULL,
    calls BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, tool, hour, client, client_version, server_version)
);

CREATE TABLE captures (
    tenant_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    sealed TEXT NOT NULL,
    PRIMARY KEY (tenant_id, call_id)
);

CREATE INDEX captures_by_end ON captures (expires_ms);

CREATE TABLE capture_rules (
    tenant_id TEXT PRIMARY KEY,
    until_ms BIGINT NOT NULL
);
