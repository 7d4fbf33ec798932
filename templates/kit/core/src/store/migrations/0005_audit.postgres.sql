-- Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
-- The audit is only added to. A deleted tenant's name may give way to its pseudonym, with which the stream begins; rows that a
-- tombstone stands for may go. This guards against accidents: whoever owns the tables can drop a trigger, and is found out by
-- the chain.

CREATE FUNCTION audit_refused() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the audit is only added to' USING ERRCODE = 'check_violation'; END $$;

CREATE FUNCTION audit_purged() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NOT EXISTS (SELECT 1 FROM audit_tombstones WHERE stream = OLD.stream AND through >= OLD.seq) THEN RAISE EXCEPTION 'the audit is only added to' USING ERRCODE = 'check_violation'; END IF; RETURN OLD; END $$;

CREATE TRIGGER audit_kept BEFORE UPDATE ON audit FOR EACH ROW
WHEN (NEW.stream <> OLD.stream OR NEW.seq <> OLD.seq OR NEW.at_ms <> OLD.at_ms OR NEW.call_id <> OLD.call_id
    OR NEW.record <> OLD.record OR NEW.hash <> OLD.hash OR NEW.tenant_id <> substr(OLD.stream, 1, 18))
EXECUTE FUNCTION audit_refused();

CREATE TRIGGER audit_purged BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_purged();

CREATE TRIGGER audit_checkpoints_kept BEFORE UPDATE OR DELETE ON audit_checkpoints FOR EACH ROW
EXECUTE FUNCTION audit_refused();

CREATE TRIGGER audit_tombstones_kept BEFORE UPDATE OR DELETE ON audit_tombstones FOR EACH ROW
EXECUTE FUNCTION audit_refused();

CREATE TRIGGER audit_whole BEFORE TRUNCATE ON audit EXECUTE FUNCTION audit_refused();
CREATE TRIGGER audit_checkpoints_whole BEFORE TRUNCATE ON audit_checkpoints EXECUTE FUNCTION audit_refused();
CREATE TRIGGER audit_tombstones_whole BEFORE TRUNCATE ON audit_tombstones EXECUTE FUNCTION audit_refused();
