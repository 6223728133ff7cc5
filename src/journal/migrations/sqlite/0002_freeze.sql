-- Why no rollout moves forward: one row while that is so, none otherwise.
CREATE TABLE freeze (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    reason   TEXT    NOT NULL,
    actor    TEXT    NOT NULL,
    at_us    INTEGER NOT NULL -- microseconds since 1970-01-01T00:00:00Z
) STRICT;
