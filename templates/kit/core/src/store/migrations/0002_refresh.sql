-- Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
-- What keeps connections alive: the lease of whoever refreshes, when to refresh, when not to yet, when a person must act.
-- And the owner's apps: `tenant_id` is empty for the owner's own, a tenant's name for an override.

ALTER TABLE connections ADD COLUMN lease_owner TEXT;
ALTER TABLE connections ADD COLUMN lease_until_ms BIGINT;
ALTER TABLE connections ADD COLUMN refresh_at_ms BIGINT;
ALTER TABLE connections ADD COLUMN retry_at_ms BIGINT;
ALTER TABLE connections ADD COLUMN failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE connections ADD COLUMN ends_ms BIGINT;
ALTER TABLE connections ADD COLUMN warned_days BIGINT;
ALTER TABLE connections ADD COLUMN grant_version BIGINT;

CREATE INDEX connections_by_refresh ON connections (refresh_at_ms);
CREATE INDEX connections_by_end ON connections (ends_ms);

CREATE TABLE apps (
    tenant_id TEXT NOT NULL,
    integration TEXT NOT NULL,
    client_id TEXT NOT NULL,
    sealed TEXT NOT NULL,
    version BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, integration)
);

CREATE TABLE connect_states (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    sealed TEXT NOT NULL,
    version BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

CREATE INDEX connect_states_by_end ON connect_states (expires_ms);
