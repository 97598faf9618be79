-- The questions `query.py` asks. Values are bound; `{matching}` is the block of that name, `{order}` a list of columns.
-- Moments leave as µs since 1970.

-- name: matching
SELECT t.*
FROM tasks t
WHERE (len($ids::VARCHAR[]) = 0 OR list_contains($ids::VARCHAR[], t.id))
AND (
    len($projects::VARCHAR[]) = 0 OR list_contains($projects::VARCHAR[], t.project)
    OR ($subprojects AND list_bool_or(list_transform($projects::VARCHAR[], lambda p: starts_with(t.project, p || '/'))))
)
AND ($name = '' OR regexp_matches(t.name, $name, 'i'))
AND (
    $text = ''
    OR contains(
        lower(concat_ws(chr(10), t.id, t.name, t.project, t.comment, array_to_string(t.tags, chr(10)))), lower($text)
    )
)
AND coalesce(list_bool_and(list_transform($patterns::STRUCT(fields VARCHAR[], regex VARCHAR)[], lambda p:
    (list_contains(p.fields, 'id') AND regexp_matches(t.id, p.regex, 'i'))
    OR (list_contains(p.fields, 'name') AND regexp_matches(t.name, p.regex, 'i'))
    OR (list_contains(p.fields, 'project') AND regexp_matches(t.project, p.regex, 'i'))
    OR (list_contains(p.fields, 'comment') AND regexp_matches(t.comment, p.regex, 'i'))
    OR (list_contains(p.fields, 'user') AND regexp_matches(t."user", p.regex, 'i'))
    OR (list_contains(p.fields, 'tags') AND regexp_matches(array_to_string(t.tags, chr(10)), p.regex, 'i'))
)), true)
AND (len($any_tags::VARCHAR[]) = 0 OR list_has_any(t.tags, $any_tags::VARCHAR[]))
AND list_has_all(t.tags, $all_tags::VARCHAR[])
AND NOT list_has_any(t.tags, $no_tags::VARCHAR[])
AND (len($any_system_tags::VARCHAR[]) = 0 OR list_has_any(t.system_tags, $any_system_tags::VARCHAR[]))
AND NOT list_has_any(t.system_tags, $no_system_tags::VARCHAR[])
AND (len($statuses::VARCHAR[]) = 0 OR list_contains($statuses::VARCHAR[], t.status))
AND (len($types::VARCHAR[]) = 0 OR list_contains($types::VARCHAR[], t.task_type))
AND (len($users::VARCHAR[]) = 0 OR list_contains($users::VARCHAR[], t."user"))
AND (len($parents::VARCHAR[]) = 0 OR list_contains($parents::VARCHAR[], t.parent))
AND ($updated_after IS NULL OR t.updated_at > make_timestamp($updated_after::BIGINT))
AND ($include_archived OR NOT t.archived);

-- name: task
SELECT * REPLACE (
    epoch_us(created_at) AS created_at, epoch_us(started_at) AS started_at, epoch_us(ended_at) AS ended_at,
    epoch_us(updated_at) AS updated_at
)
FROM tasks
WHERE id = $task;

-- name: tasks
SELECT m.* REPLACE (
    epoch_us(created_at) AS created_at, epoch_us(started_at) AS started_at, epoch_us(ended_at) AS ended_at,
    epoch_us(updated_at) AS updated_at
)
FROM ({matching}) m
LEFT JOIN ({sort_values}) v ON v.task = m.id
ORDER BY {order}
LIMIT $limit OFFSET $offset;

-- name: sort_values
SELECT task, try_cast(value AS DOUBLE) AS sort_number, value AS sort_text
FROM task_parameters
WHERE $sort_kind = 'parameter' AND name = $sort_name
UNION ALL
SELECT task, CASE $sort_aggregate WHEN 'min' THEN min WHEN 'max' THEN max WHEN 'first' THEN first WHEN 'mean' THEN mean
    ELSE last END, NULL
FROM scalar_summaries
WHERE $sort_kind = 'metric' AND title = $sort_name AND series = $sort_series;

-- name: count_tasks
SELECT count(*) FROM ({matching});

-- name: parameter_names
SELECT DISTINCT p.name
FROM ({matching}) m JOIN task_parameters p ON p.task = m.id
ORDER BY p.name;

-- name: metric_names
SELECT DISTINCT s.title, s.series
FROM ({matching}) m JOIN visible_series s ON s.task = m.id
ORDER BY s.title, s.series;

-- name: parameter_values
SELECT task, name, value
FROM task_parameters
WHERE list_contains($names::VARCHAR[], name) AND task IN (SELECT unnest($tasks::VARCHAR[]));

-- name: metric_values
SELECT task, title, series, last, min, max, first, mean
FROM scalar_summaries
WHERE list_contains($metrics::STRUCT(title VARCHAR, series VARCHAR)[], {'title': title, 'series': series})
AND task IN (SELECT unnest($tasks::VARCHAR[]));

-- name: spec
SELECT state FROM task_states WHERE id = $task AND created_at IS NOT NULL AND NOT deleted;

-- name: runs
SELECT * REPLACE (epoch_us(started_at) AS started_at, epoch_us(ended_at) AS ended_at)
FROM runs
WHERE task = $task
ORDER BY run;

-- name: parameters
SELECT name, value, type, description FROM parameters WHERE task = $task ORDER BY place;

-- name: configurations
SELECT name, text, type, suffix, description FROM configurations WHERE task = $task ORDER BY place;

-- name: pipelines
SELECT * REPLACE (
    epoch_us(created_at) AS created_at, epoch_us(started_at) AS started_at, epoch_us(ended_at) AS ended_at
)
FROM pipelines
WHERE ($task IS NULL OR task = $task) AND ($name IS NULL OR name = $name) AND ($include_archived OR NOT archived)
ORDER BY created_at DESC, task DESC
LIMIT $limit;

-- name: steps
SELECT * EXCLUDE (history) REPLACE (
    epoch_us(queued_at) AS queued_at, epoch_us(started_at) AS started_at, epoch_us(ended_at) AS ended_at
)
FROM steps
WHERE task = $task
ORDER BY place;

-- name: cached_step
SELECT s.child
FROM (SELECT * FROM step_states WHERE cache_key = $cache_key AND status = 'completed') s
JOIN tasks t ON t.id = s.child AND t.run = s.child_run
WHERE t.status IN ('completed', 'published')
ORDER BY s.ended_at DESC, s.child DESC
LIMIT 1;

-- name: searches
SELECT * REPLACE (
    epoch_us(created_at) AS created_at, epoch_us(started_at) AS started_at, epoch_us(ended_at) AS ended_at
)
FROM searches
WHERE ($task IS NULL OR task = $task) AND ($name IS NULL OR name = $name) AND ($include_archived OR NOT archived)
ORDER BY created_at DESC, task DESC
LIMIT $limit;

-- name: trials
SELECT * REPLACE (
    epoch_us(queued_at) AS queued_at, epoch_us(started_at) AS started_at, epoch_us(ended_at) AS ended_at
)
FROM trials
WHERE task = $task
ORDER BY number;

-- name: scalars
WITH chosen AS (
    SELECT title, series, step, time, value FROM scalars
    WHERE task = $task AND ($title IS NULL OR title = $title) AND ($series IS NULL OR series = $series)
), placed AS (
    SELECT
        *, row_number() OVER (PARTITION BY title, series ORDER BY step, time, value) - 1 AS place,
        count(*) OVER (PARTITION BY title, series) - 1 AS last_place
    FROM chosen
)
SELECT title, series, step, time, value
FROM placed
WHERE $samples = 0 OR last_place < $samples OR place = 0
OR place * ($samples - 1) // last_place > (place - 1) * ($samples - 1) // last_place
ORDER BY title, series, step, time, value;

-- name: all_scalars
SELECT title, series, step, time, value
FROM scalars
WHERE task = $task AND ($title IS NULL OR title = $title) AND ($series IS NULL OR series = $series)
ORDER BY title, series, step, time, value;

-- name: last_scalars
SELECT
    title, series, count, first, first_step, last, last_step, coalesce(min, 'nan') AS min,
    coalesce(min_step, first_step) AS min_step, coalesce(max, 'nan') AS max, coalesce(max_step, first_step) AS max_step,
    coalesce(mean, 'nan') AS mean, epoch_us(last_at) AS last_at
FROM scalar_summaries
WHERE task = $task
ORDER BY title, series;

-- name: single_values
SELECT name, value FROM single_values WHERE task = $task ORDER BY name;

-- name: plots
SELECT task, run, kind, title, series, iteration, epoch_us(reported_at), content, content_type, uri, size, sha256
FROM plots
WHERE task = $task
QUALIFY $iterations IS NULL OR dense_rank() OVER (PARTITION BY title, series ORDER BY iteration DESC) <= $iterations
ORDER BY title, series, iteration;

-- name: media
SELECT task, run, kind, title, series, iteration, epoch_us(reported_at), content, content_type, uri, size, sha256
FROM media
WHERE task = $task
QUALIFY $iterations IS NULL OR dense_rank() OVER (PARTITION BY title, series ORDER BY iteration DESC) <= $iterations
ORDER BY title, series, iteration;

-- name: texts
SELECT task, run, kind, title, series, iteration, epoch_us(reported_at), content, content_type, uri, size, sha256
FROM texts
WHERE task = $task
ORDER BY "offset";

-- name: console_tail
SELECT run, epoch_us(written_at), stream, text, "offset", "index"
FROM (
    SELECT * FROM console
    WHERE task = $task AND ($run IS NULL OR run = $run)
    ORDER BY "offset" DESC, "index" DESC
    LIMIT $limit
)
ORDER BY "offset", "index";

-- name: console_after
SELECT run, epoch_us(written_at), stream, text, "offset", "index"
FROM console
WHERE task = $task AND ($run IS NULL OR run = $run) AND ("offset", "index") > ($offset, $index)
ORDER BY "offset", "index"
LIMIT $limit;

-- name: artifacts
SELECT * REPLACE (epoch_us(uploaded_at) AS uploaded_at) FROM artifacts WHERE task = $task ORDER BY name;

-- name: models
SELECT
    id, task, run, name, direction, attached_as, project, framework, uri, size, sha256, comment, tags, labels, design,
    metadata, iteration, published, archived, epoch_us(created_at), epoch_us(saved_at)
FROM (SELECT *, '' AS attached_as FROM models WHERE $task = '' UNION ALL SELECT * FROM task_models WHERE task = $task) m
WHERE (len($ids::VARCHAR[]) = 0 OR list_contains($ids::VARCHAR[], id))
AND ($direction = '' OR direction = $direction)
AND (len($projects::VARCHAR[]) = 0 OR list_contains($projects::VARCHAR[], project))
AND ($name = '' OR regexp_matches(name, $name, 'i'))
AND (len($any_tags::VARCHAR[]) = 0 OR list_has_any(tags, $any_tags::VARCHAR[]))
AND list_has_all(tags, $all_tags::VARCHAR[])
AND NOT list_has_any(tags, $no_tags::VARCHAR[])
AND coalesce(list_bool_and(list_transform($metadata::STRUCT(key VARCHAR, value VARCHAR)[], lambda wanted:
    coalesce(map_extract_value(json_transform(metadata, '"MAP(VARCHAR, VARCHAR)"'), wanted.key) = wanted.value, false)
)), true)
AND (NOT $only_published OR published)
AND ($include_archived OR NOT archived)
ORDER BY direction, CASE WHEN $task = '' THEN -epoch_us(saved_at) ELSE epoch_us(created_at) END, id
LIMIT $limit;

-- name: projects
SELECT name, tasks, to_json(statuses)::VARCHAR, epoch_us(updated_at) FROM projects ORDER BY name;

-- name: queues
SELECT name, paused, pause_reason, waiting, claimed, epoch_us(oldest_waiting_at), workers, epoch_us(created_at),
    deleted
FROM queues
ORDER BY name;

-- name: entries
SELECT * REPLACE (epoch_us(enqueued_at) AS enqueued_at, epoch_us(changed_at) AS changed_at)
FROM entries
WHERE queue = $queue AND ($gone OR state IN ('waiting', 'claimed'))
ORDER BY priority DESC, rank, enqueued_at, id;

-- name: waits
SELECT
    queue, count(*), quantile_cont(wait, 0.5) / 1e6, quantile_cont(wait, 0.9) / 1e6, quantile_cont(wait, 0.99) / 1e6
FROM (
    SELECT queue, epoch_us(changed_at) - epoch_us(enqueued_at) AS wait
    FROM entries
    WHERE state = 'taken'
    QUALIFY row_number() OVER (PARTITION BY queue ORDER BY changed_at DESC, id) <= $last
)
GROUP BY queue
ORDER BY queue;

-- name: task_entries
SELECT * REPLACE (epoch_us(enqueued_at) AS enqueued_at, epoch_us(changed_at) AS changed_at)
FROM entries
WHERE task = $task
ORDER BY run, hop, id;

-- name: limits
SELECT * REPLACE (epoch_us(set_at) AS set_at) FROM limits ORDER BY scope;

-- name: permits
SELECT * REPLACE (epoch_us(claimed_at) AS claimed_at) FROM permits ORDER BY claimed_at, id;

-- name: workers
SELECT * REPLACE (
    epoch_us(started_at) AS started_at, epoch_us(seen_at) AS seen_at, epoch_us(stopped_at) AS stopped_at
)
FROM workers
ORDER BY id;

-- name: scalers
SELECT * REPLACE (epoch_us(led_since) AS led_since, epoch_us(decided_at) AS decided_at) FROM scalers ORDER BY name;

-- name: instances
WITH found AS (
    SELECT * FROM instances
    WHERE ($scaler IS NULL OR scaler = $scaler) AND ($gone OR ended_at IS NULL)
    ORDER BY requested_at DESC, instance DESC
    LIMIT $limit
), work AS (
    SELECT worker, max(ended_at) AS ended_at
    FROM run_states
    WHERE worker IN (SELECT worker FROM found WHERE worker <> '' AND ended_at IS NULL)
    GROUP BY worker
), held AS (
    SELECT id AS worker, json_array_length(runs)::BIGINT AS running FROM worker_states WHERE stopped_at IS NULL
)
SELECT f.* REPLACE (
        epoch_us(requested_at) AS requested_at, epoch_us(launched_at) AS launched_at, epoch_us(ready_at) AS ready_at,
        epoch_us(drained_at) AS drained_at, epoch_us(f.ended_at) AS ended_at
    ),
    CASE WHEN f.ended_at IS NULL THEN coalesce(h.running, 0) ELSE 0 END AS running,
    CASE WHEN f.ended_at IS NULL AND h.running = 0 THEN epoch_us(greatest(f.ready_at, w.ended_at)) END AS idle_since
FROM found f LEFT JOIN work w ON w.worker = f.worker LEFT JOIN held h ON h.worker = f.worker
ORDER BY f.requested_at DESC, f.instance DESC;

-- name: needs
SELECT * EXCLUDE ("offset", place) REPLACE (epoch_us(decided_at) AS decided_at)
FROM scaling s
WHERE "offset" = (SELECT max("offset") FROM decisions d WHERE d.scaler = s.scaler)
ORDER BY scaler, place;

-- name: scaling_steps
WITH held AS (
    SELECT
        "offset", decided_at, queue, missing, held_back_by,
        lag(held_back_by, 1, '') OVER (PARTITION BY queue ORDER BY "offset") AS before
    FROM decision_needs
    WHERE scaler = $scaler
), told AS (
    SELECT e."offset", e.occurred_at, e.type, e.body, e.actor, i.*
    FROM events e LEFT JOIN instance_states i ON i.scaler = $scaler AND i.instance = e.key
    WHERE e.topic = 'tasktape.instances' AND e.verdict = 'accepted'
      AND (i.instance IS NOT NULL OR (e.type = 'ScalerLeads' AND e.key = $scaler))
      AND e.type IN (
        'ScalerLeads', 'InstanceRequested', 'InstanceAdopted', 'InstanceDraining', 'InstanceTerminating'
      )
    ORDER BY e."offset" DESC
    LIMIT $limit
)
SELECT epoch_us(decided_at), step, instance, resource, instance_type, place, spot, queue, count, reason
FROM (
    SELECT
        "offset", occurred_at AS decided_at,
        map {
            'ScalerLeads': 'lead', 'InstanceRequested': 'launch', 'InstanceAdopted': 'adopt',
            'InstanceDraining': 'drain', 'InstanceTerminating': 'end'
        }[type] AS step,
        coalesce(instance, '') AS instance, coalesce(resource, '') AS resource,
        coalesce(instance_type, '') AS instance_type, coalesce(nullif(zone, ''), subnet, '') AS place,
        coalesce(spot, false) AS spot, '' AS queue, 1::BIGINT AS count,
        CASE
            WHEN type = 'ScalerLeads' THEN actor
            WHEN type = 'InstanceAdopted' THEN 'the log knew nothing of ' || machine
            ELSE coalesce(json_extract_string(body, '$.reason'), '')
        END AS reason
    FROM told
    UNION ALL
    SELECT "offset", decided_at, 'hold back', '', '', '', '', false, queue, missing, held_back_by
    FROM held
    WHERE held_back_by <> before AND held_back_by <> ''
)
ORDER BY "offset" DESC, queue
LIMIT $limit;

-- name: failed_launches
SELECT
    resource, instance_type, coalesce(nullif(zone, ''), subnet), spot, coalesce(failure, 'spin_up') AS kind,
    arg_max(reason, ended_at), count(*), epoch_us(max(ended_at)) AS last_at
FROM instance_states
WHERE scaler = $scaler AND ended_at IS NOT NULL AND ready_at IS NULL
GROUP BY ALL
ORDER BY last_at DESC, kind
LIMIT $limit;

-- name: machine_counts
WITH spans AS (
    SELECT 'requested' AS status, requested_at AS began, least(launched_at, ready_at, drained_at, ended_at) AS over_at
    FROM instance_states
    WHERE scaler = $scaler
    UNION ALL
    SELECT 'booting', launched_at, least(ready_at, drained_at, ended_at) FROM instance_states WHERE scaler = $scaler
    UNION ALL
    SELECT 'ready', ready_at, least(drained_at, ended_at) FROM instance_states WHERE scaler = $scaler
    UNION ALL
    SELECT 'draining', drained_at, ended_at FROM instance_states WHERE scaler = $scaler
), steps AS (
    SELECT began AS moment, status, 1 AS step FROM spans WHERE began IS NOT NULL
    UNION ALL
    SELECT over_at, status, -1 FROM spans WHERE began IS NOT NULL AND over_at IS NOT NULL
), moments AS (
    SELECT
        greatest(moment, coalesce(make_timestamp($since::BIGINT), moment)) AS counted_at,
        coalesce(sum(step) FILTER (status = 'requested'), 0) AS requested,
        coalesce(sum(step) FILTER (status = 'booting'), 0) AS booting,
        coalesce(sum(step) FILTER (status = 'ready'), 0) AS ready,
        coalesce(sum(step) FILTER (status = 'draining'), 0) AS draining
    FROM steps
    GROUP BY ALL
), counts AS (
    SELECT
        counted_at, sum(requested) OVER sofar AS requested, sum(booting) OVER sofar AS booting,
        sum(ready) OVER sofar AS ready, sum(draining) OVER sofar AS draining,
        ntile($samples) OVER (ORDER BY counted_at) AS part
    FROM moments
    WINDOW sofar AS (ORDER BY counted_at)
)
SELECT epoch_us(counted_at), requested::BIGINT, booting::BIGINT, ready::BIGINT, draining::BIGINT
FROM counts
QUALIFY row_number() OVER (PARTITION BY part ORDER BY counted_at DESC) = 1
ORDER BY counted_at;

-- name: decisions
WITH waiting AS (
    SELECT scaler, "offset", sum(waiting)::BIGINT AS waiting, sum(stuck)::BIGINT AS stuck
    FROM decision_needs
    WHERE scaler = $scaler
    GROUP BY scaler, "offset"
), found AS (
    SELECT
        d.decided_at, coalesce(w.waiting, 0) AS waiting, coalesce(w.stuck, 0) AS stuck, d.instances, d.hourly_cost,
        d."offset", ntile($samples) OVER (ORDER BY d."offset") AS part
    FROM decisions d LEFT JOIN waiting w USING (scaler, "offset")
    WHERE d.scaler = $scaler AND ($since IS NULL OR d.decided_at >= make_timestamp($since::BIGINT))
)
SELECT epoch_us(decided_at), waiting, stuck, instances, hourly_cost
FROM found
QUALIFY row_number() OVER (PARTITION BY part ORDER BY "offset" DESC) = 1
ORDER BY "offset";

-- name: events
SELECT * REPLACE (epoch_us(appended_at) AS appended_at, epoch_us(occurred_at) AS occurred_at)
FROM events
WHERE ($key IS NULL OR key = $key) AND (len($types::VARCHAR[]) = 0 OR list_contains($types::VARCHAR[], type))
ORDER BY appended_at, topic, "partition", "offset"
LIMIT $limit;

-- name: dead_letters
SELECT * REPLACE (epoch_us(appended_at) AS appended_at)
FROM dead_letters
ORDER BY appended_at, topic, "partition", "offset"
LIMIT $limit;

-- name: positions
SELECT topic, "partition", "offset" FROM positions ORDER BY topic, "partition";
