-- Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
-- What was given out to be billed: for each destination, batch after batch, what each hour has grown by. `state` is `pending`
-- until whoever took a batch says that it has it, then `acked`. `billing_id` is what the billing system calls the tenant.

ALTER TABLE tenants ADD COLUMN billing_id TEXT;

CREATE TABLE usage_batches (
    destination TEXT NOT NULL,
    batch BIGINT NOT NULL,
    state TEXT NOT NULL,
    made_ms BIGINT NOT NULL,
    PRIMARY KEY (destination, batch)
);

CREATE TABLE usage_exports (
    destination TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    tool TEXT NOT NULL,
    hour BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    revision BIGINT NOT NULL,
    batch BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    units BIGINT NOT NULL,
    PRIMARY KEY (destination, tenant_id, tool, hour, outcome, revision)
);

CREATE INDEX usage_exports_by_batch ON usage_exports (destination, batch);
