CREATE TABLE IF NOT EXISTS "sessions" (
    key BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    expires_at INTEGER NOT NULL,
    expires_bucket INTEGER NOT NULL CHECK (expires_bucket = expires_at / 300000),
    created_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    destroyed_at INTEGER,
    rotated INTEGER NOT NULL DEFAULT 0,
    principal TEXT COLLATE BINARY,
    payload TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS "sessions_expires" ON "sessions" (expires_bucket);
CREATE INDEX IF NOT EXISTS "sessions_principal" ON "sessions" (principal, key) WHERE principal IS NOT NULL;
