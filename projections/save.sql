-- Statements the projector writes and reads its state with. `{…}` stands for names and types out of the schema.

-- name: columns
DESCRIBE {table};

-- name: insert
INSERT INTO {table} SELECT {values};

-- name: delete
DELETE FROM {table} WHERE ({keys}) IN (SELECT {values});

-- name: select
SELECT {columns} FROM {table} WHERE ({keys}) IN (SELECT {values});

-- name: all
SELECT {columns} FROM {table};

-- name: insert_points
INSERT INTO points
SELECT list_extract($tasks::VARCHAR[], task + 1), number, step, make_timestamp(time), value FROM new_points;

-- name: load_positions
SELECT topic, "partition", "offset", epoch_us(appended_at) FROM positions;
