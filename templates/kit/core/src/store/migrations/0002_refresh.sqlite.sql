-- Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
-- A connection's version never goes back: a statement that would put an old credential over a newer one fails.

CREATE TRIGGER connections_forward BEFORE UPDATE OF version ON connections WHEN NEW.version < OLD.version
BEGIN SELECT RAISE(ABORT, 'a version never goes back'); END;
