-- Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
-- The audit is only added to. A deleted tenant's name may give way to its pseudonym, with which the stream begins; rows that a
-- tombstone stands for may go. This guards against accidents: whoever owns the file can drop a trigger, and is found out by
-- the chain.

CREATE TRIGGER audit_kept BEFORE UPDATE ON audit
WHEN NEW.stream <> OLD.stream OR NEW.seq <> OLD.seq OR NEW.at_ms <> OLD.at_ms OR NEW.call_id <> OLD.call_id
    OR NEW.record <> OLD.record OR NEW.hash <> OLD.hash OR NEW.tenant_id <> substr(OLD.stream, 1, 18)
BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;

CREATE TRIGGER audit_purged BEFORE DELETE ON audit
WHEN NOT EXISTS (SELECT 1 FROM audit_tombstones WHERE stream = OLD.stream AND through >= OLD.seq)
BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;

CREATE TRIGGER audit_checkpoints_kept BEFORE UPDATE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;

CREATE TRIGGER audit_checkpoints_stay BEFORE DELETE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;

CREATE TRIGGER audit_tombstones_kept BEFORE UPDATE ON audit_tombstones
BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;

CREATE TRIGGER audit_tombstones_stay BEFORE DELETE ON audit_tombstones
BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
