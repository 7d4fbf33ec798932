-- Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
-- The plan that a tenant is on, by the name that the configuration has for it. Usage by hour: `hour` is hours since the Unix
-- epoch, `outcome` the class of the answer, `units` what the calls cost.

ALTER TABLE tenants ADD COLUMN plan TEXT;

CREATE TABLE usage_rollup (
    tenant_id TEXT NOT NULL,
    tool TEXT NOT NULL,
    hour BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    calls BIGINT NOT NULL,
    units BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, tool, hour, outcome)
);

CREATE INDEX usage_rollup_by_hour ON usage_rollup (tenant_id, hour);
