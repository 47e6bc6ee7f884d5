CREATE TABLE IF NOT EXISTS `sessions` (
    `key` binary(32) NOT NULL PRIMARY KEY,
    payload longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    expires_at bigint NOT NULL,
    created_at bigint NOT NULL,
    version bigint NOT NULL,
    principal varbinary(255),
    destroyed_at bigint,
    rotated tinyint NOT NULL DEFAULT 0,
    INDEX expiry (expires_at),
    INDEX principal (principal, `key`)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
