-- 'gsjl': lets greenshift, and file(1), tell its databases from those of other programs.
PRAGMA application_id = 1735617132;

-- One row. Versions that are older than this schema read `program` to say who wrote it: keep its name and place.
CREATE TABLE meta (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    epoch    INTEGER NOT NULL, -- raised by each opening; a writer with a lower one has been superseded
    program  TEXT    NOT NULL  -- version of greenshift that opened it last
) STRICT;

INSERT INTO meta (only_row, epoch, program) VALUES (1, 0, '');

CREATE TABLE rollouts (
    name     TEXT    PRIMARY KEY,
    last_seq INTEGER NOT NULL CHECK (last_seq >= 0) -- 0 = no event yet
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    rollout TEXT    NOT NULL REFERENCES rollouts (name) ON DELETE CASCADE,
    seq     INTEGER NOT NULL CHECK (seq >= 1), -- 1, 2, 3 … without gaps
    at_us   INTEGER NOT NULL,                  -- microseconds since 1970-01-01T00:00:00Z
    actor   TEXT    NOT NULL,
    type    TEXT    NOT NULL,
    version INTEGER NOT NULL,                  -- of the body's form, per type
    body    TEXT    NOT NULL CHECK (json_valid(body)),
    PRIMARY KEY (rollout, seq)
) STRICT;

-- The rules of active rollouts: at most one owner each.
CREATE TABLE rule_owners (
    rule    TEXT PRIMARY KEY,
    rollout TEXT NOT NULL REFERENCES rollouts (name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX rule_owners_by_rollout ON rule_owners (rollout);
