-- Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
-- A connection's version never goes back: a statement that would put an old credential over a newer one fails.

CREATE FUNCTION connections_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.version < OLD.version THEN RAISE EXCEPTION 'a version never goes back' USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$;

CREATE TRIGGER connections_forward BEFORE UPDATE ON connections FOR EACH ROW EXECUTE FUNCTION connections_forward();
