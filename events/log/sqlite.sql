-- The embedded log's database. A record's place is one integer: its partition's id times 2^40, plus its offset.

-- name: schema
CREATE TABLE topics (
    name TEXT PRIMARY KEY,
    partitions INTEGER NOT NULL,
    retention_ms INTEGER,
    compact_after_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE partitions (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    number INTEGER NOT NULL,
    next_offset INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, number)
) STRICT;
CREATE TABLE records (
    place INTEGER PRIMARY KEY,
    timestamp INTEGER NOT NULL,
    key TEXT,
    value BLOB,
    headers BLOB
) STRICT;
CREATE TABLE producers (
    id TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    timestamp INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE clock (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    timestamp INTEGER NOT NULL,
    uptime INTEGER NOT NULL,
    cleaned INTEGER NOT NULL
) STRICT;
CREATE TABLE members (
    group_name TEXT NOT NULL,
    member TEXT NOT NULL,
    topics TEXT NOT NULL,
    uptime INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    PRIMARY KEY (group_name, member)
) STRICT, WITHOUT ROWID;
CREATE TABLE owners (
    group_name TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    member TEXT NOT NULL,
    PRIMARY KEY (group_name, topic, partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE commits (
    group_name TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (group_name, topic, partition)
) STRICT, WITHOUT ROWID;
INSERT INTO clock VALUES (1, 0, 0, 0);

-- name: topics
SELECT name, partitions, retention_ms, compact_after_ms FROM topics ORDER BY name;

-- name: add_topic
INSERT INTO topics VALUES (?, ?, ?, ?);

-- name: add_partition
INSERT INTO partitions (topic, number) VALUES (?, ?);

-- name: partitions
SELECT id, topic, number, next_offset FROM partitions ORDER BY id;

-- name: ends
SELECT id, next_offset FROM partitions;

-- name: move_end
UPDATE partitions SET next_offset = next_offset + ? WHERE id = ? RETURNING next_offset;

-- name: add_record
INSERT INTO records VALUES (?, ?, ?, ?, ?);

-- name: records
SELECT place, timestamp, key, value, headers FROM records WHERE place >= ? AND place < ? ORDER BY place LIMIT ?;

-- name: sequence
SELECT sequence FROM producers WHERE id = ?;

-- name: set_sequence
INSERT INTO producers VALUES (?1, ?2, ?3)
ON CONFLICT (id) DO UPDATE SET sequence = ?2, timestamp = ?3;

-- Time moves on at the pace of the machine's uptime where the wall clock (first value) was set back: ages of claims are
-- differences of append times, which must not stand still. A smaller uptime than before means a restart.
-- name: tick
UPDATE clock SET timestamp = max(?1, timestamp + max(0, ?2 - uptime)), uptime = ?2 RETURNING timestamp;

-- name: renew
UPDATE members SET uptime = ?3 WHERE group_name = ?1 AND member = ?2;

-- name: enter
INSERT INTO members VALUES (?, ?, ?, ?, ?);

-- name: leave
DELETE FROM members WHERE group_name = ? AND member = ?;

-- name: drop_dead_members
DELETE FROM members WHERE group_name = ?1 AND ?2 NOT BETWEEN uptime AND uptime + lease;

-- name: members
SELECT member, topics FROM members WHERE group_name = ?;

-- name: owners
SELECT topic, partition, member FROM owners WHERE group_name = ?;

-- name: owned
SELECT topic, partition FROM owners WHERE group_name = ? AND member = ?;

-- name: set_owner
INSERT INTO owners VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (group_name, topic, partition) DO UPDATE SET member = ?4;

-- name: drop_owner
DELETE FROM owners WHERE group_name = ? AND topic = ? AND partition = ?;

-- name: commit_position
INSERT INTO commits VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (group_name, topic, partition) DO UPDATE SET position = ?4;

-- name: committed
SELECT topic, partition, position FROM commits WHERE group_name = ?;

-- name: begin_cleaning
UPDATE clock SET cleaned = ?1 WHERE cleaned <= ?2;

-- name: expired
SELECT place FROM (SELECT place, timestamp FROM records WHERE place >= ?1 AND place < ?2 ORDER BY place LIMIT ?4)
WHERE timestamp < ?3;

-- name: superseded
SELECT place FROM (
    SELECT place, value, timestamp, row_number() OVER (PARTITION BY key ORDER BY place DESC) AS newness
    FROM records WHERE place >= ?1 AND place < ?2 AND timestamp < ?3 AND key IS NOT NULL
)
WHERE newness > 1 OR (value IS NULL AND timestamp < ?4)
LIMIT ?5;

-- name: drop_record
DELETE FROM records WHERE place = ?;

-- name: drop_old_producers
DELETE FROM producers WHERE timestamp < ?;
