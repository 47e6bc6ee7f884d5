CREATE TABLE IF NOT EXISTS "sessions" (
    key bytea NOT NULL PRIMARY KEY,
    payload text NOT NULL,
    expires_at bigint NOT NULL,
    created_at bigint NOT NULL,
    version bigint NOT NULL,
    principal text COLLATE "C",
    destroyed_at bigint,
    expiry_slot bigint NOT NULL GENERATED ALWAYS AS (expires_at / 900000) STORED,
    rotated boolean NOT NULL DEFAULT false
) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS "sessions_expiry" ON "sessions" (expiry_slot);
CREATE INDEX IF NOT EXISTS "sessions_principal" ON "sessions" (principal, key) WHERE principal IS NOT NULL;
