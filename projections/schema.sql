-- Tables hold what folds of the log say, in the order-independent form: what one topic says of another's rows is put
-- together by the views. All moments are UTC. No table has an index: rows are replaced by key, a batch at a time.

-- name: tables
CREATE TABLE meta (version VARCHAR, log VARCHAR);
CREATE TABLE positions (topic VARCHAR, "partition" BIGINT, "offset" BIGINT, appended_at TIMESTAMP);
CREATE TABLE sessions (topic VARCHAR, "partition" BIGINT, session VARCHAR, seqs BIGINT[]);
CREATE TABLE events (
    topic VARCHAR, "partition" BIGINT, "offset" BIGINT, appended_at TIMESTAMP, occurred_at TIMESTAMP, type VARCHAR,
    key VARCHAR, actor VARCHAR, session VARCHAR, seq BIGINT, verdict VARCHAR, reason VARCHAR, body VARCHAR
);
CREATE TABLE dead_letters (
    topic VARCHAR, "partition" BIGINT, "offset" BIGINT, appended_at TIMESTAMP, key VARCHAR, error VARCHAR, value BLOB
);
CREATE TABLE task_states (
    id VARCHAR, project VARCHAR, name VARCHAR, task_type VARCHAR, status VARCHAR, status_reason VARCHAR,
    status_message VARCHAR, run BIGINT, "user" VARCHAR, tags VARCHAR[], system_tags VARCHAR[], parent VARCHAR,
    comment VARCHAR, progress BIGINT, created_at TIMESTAMP, started_at TIMESTAMP, ended_at TIMESTAMP,
    changed_at TIMESTAMP, worker VARCHAR, archived BOOLEAN, published BOOLEAN, output_uri VARCHAR,
    deleted BOOLEAN, visible_from BIGINT, resets BIGINT, entries_left VARCHAR[], state VARCHAR
);
CREATE TABLE run_states (
    task VARCHAR, run BIGINT, status VARCHAR, reason VARCHAR, message VARCHAR, traceback VARCHAR, exit_code BIGINT,
    progress BIGINT, worker VARCHAR, entry VARCHAR, continues BOOLEAN, initial_iteration BIGINT, machine VARCHAR,
    started_at TIMESTAMP, ended_at TIMESTAMP
);
CREATE TABLE task_parameters (
    task VARCHAR, place BIGINT, name VARCHAR, value VARCHAR, type VARCHAR, description VARCHAR
);
CREATE TABLE task_configurations (
    task VARCHAR, place BIGINT, name VARCHAR, text VARCHAR, type VARCHAR, suffix VARCHAR, description VARCHAR
);
CREATE TABLE pipeline_states (
    task VARCHAR, run BIGINT, name VARCHAR, version VARCHAR, generation BIGINT, stops_on_fail BOOLEAN,
    time_limit DOUBLE, defined_at TIMESTAMP, stopping_reason VARCHAR, stopping_failed BOOLEAN, stopping_at TIMESTAMP,
    defined VARCHAR, stopping VARCHAR
);
CREATE TABLE step_states (
    task VARCHAR, place BIGINT, name VARCHAR, status VARCHAR, child VARCHAR, child_run BIGINT, retries BIGINT,
    parents VARCHAR[], base VARCHAR, queue VARCHAR, stage VARCHAR, cache_key VARCHAR, message VARCHAR,
    queued_at TIMESTAMP, started_at TIMESTAMP, ended_at TIMESTAMP, history VARCHAR[], definition VARCHAR,
    answers VARCHAR
);
CREATE TABLE search_states (
    task VARCHAR, run BIGINT, base_task VARCHAR, strategy VARCHAR, queue VARCHAR, objectives VARCHAR, limits VARCHAR,
    space VARCHAR, stopping_reason VARCHAR, stopping_failed BOOLEAN, began_at TIMESTAMP, best BIGINT, spent DOUBLE,
    trials BIGINT, defined VARCHAR, stopping VARCHAR
);
CREATE TABLE trial_states (
    task VARCHAR, number BIGINT, child VARCHAR, status VARCHAR, stopping VARCHAR, iteration BIGINT, seconds DOUBLE,
    message VARCHAR, told BOOLEAN, "values" DOUBLE[], queued_at TIMESTAMP, started_at TIMESTAMP, ended_at TIMESTAMP,
    parameters VARCHAR, held VARCHAR
);
CREATE TABLE artifact_versions (
    task VARCHAR, run BIGINT, resets BIGINT, "offset" BIGINT, deleted BOOLEAN, name VARCHAR, type VARCHAR,
    uri VARCHAR, size BIGINT, sha256 VARCHAR, content_type VARCHAR, preview VARCHAR, metadata VARCHAR,
    uploaded_at TIMESTAMP
);
CREATE TABLE model_versions (
    task VARCHAR, run BIGINT, resets BIGINT, "offset" BIGINT, deleted BOOLEAN, saved_at TIMESTAMP, id VARCHAR,
    name VARCHAR, direction VARCHAR, project VARCHAR, framework VARCHAR, uri VARCHAR, size BIGINT, sha256 VARCHAR,
    comment VARCHAR, tags VARCHAR[], labels VARCHAR, design VARCHAR, metadata VARCHAR, iteration BIGINT,
    published BOOLEAN, archived BOOLEAN
);
CREATE TABLE model_uses (
    task VARCHAR, run BIGINT, resets BIGINT, "offset" BIGINT, model VARCHAR, name VARCHAR, attached_at TIMESTAMP
);
CREATE TABLE series (
    task VARCHAR, number BIGINT, run BIGINT, title VARCHAR, series VARCHAR, count BIGINT, valid BIGINT, total DOUBLE,
    first DOUBLE, first_step BIGINT, last DOUBLE, last_step BIGINT, min DOUBLE, min_step BIGINT, max DOUBLE,
    max_step BIGINT, last_at TIMESTAMP
);
CREATE TABLE points (task VARCHAR, number BIGINT, step BIGINT, time TIMESTAMP, value DOUBLE);
CREATE TABLE single_value_reports (
    task VARCHAR, run BIGINT, "offset" BIGINT, name VARCHAR, value DOUBLE, reported_at TIMESTAMP
);
CREATE TABLE reports (
    task VARCHAR, run BIGINT, "offset" BIGINT, kind VARCHAR, title VARCHAR, series VARCHAR, iteration BIGINT,
    reported_at TIMESTAMP, content VARCHAR, content_type VARCHAR, uri VARCHAR, size BIGINT, sha256 VARCHAR
);
CREATE TABLE console_lines (
    task VARCHAR, run BIGINT, "offset" BIGINT, "index" BIGINT, written_at TIMESTAMP, stream VARCHAR, text VARCHAR
);
CREATE TABLE outputs (task VARCHAR, run BIGINT, last_iteration BIGINT, reported_at TIMESTAMP);
CREATE TABLE abort_requests (task VARCHAR, run BIGINT, "offset" BIGINT, reason VARCHAR, requested_at TIMESTAMP);
CREATE TABLE drain_requests (worker VARCHAR, "offset" BIGINT, reason VARCHAR, requested_at TIMESTAMP);
CREATE TABLE queue_changes (queue VARCHAR, "offset" BIGINT, type VARCHAR, reason VARCHAR, changed_at TIMESTAMP);
CREATE TABLE limit_states (scope VARCHAR, running BIGINT, set_at TIMESTAMP);
CREATE TABLE permit_states (
    id VARCHAR, task VARCHAR, run BIGINT, entry VARCHAR, worker VARCHAR, scopes VARCHAR[], claimed_at TIMESTAMP
);
CREATE TABLE entry_states (
    queue VARCHAR, "partition" BIGINT, id VARCHAR, task VARCHAR, run BIGINT, hop BIGINT, origin VARCHAR,
    failures BIGINT, losses BIGINT, not_before TIMESTAMP, "offset" BIGINT, rank DOUBLE, priority BIGINT,
    enqueued_at TIMESTAMP, state VARCHAR, changed_at TIMESTAMP, changed_by VARCHAR, worker VARCHAR, claim VARCHAR,
    claim_offset BIGINT, moved_to VARCHAR, moved_rank DOUBLE, cpus DOUBLE, memory_gb DOUBLE, gpus BIGINT
);
CREATE TABLE judged (queue VARCHAR, "partition" BIGINT, entry VARCHAR, ids VARCHAR[]);
CREATE TABLE worker_states (
    id VARCHAR, host VARCHAR, pid BIGINT, queues VARCHAR[], slots BIGINT, version VARCHAR, tags VARCHAR[], runs VARCHAR,
    load VARCHAR, interval DOUBLE, started_at TIMESTAMP, seen_at TIMESTAMP, stopped_at TIMESTAMP, cpus DOUBLE,
    memory_gb DOUBLE, gpus BIGINT, spare_cpus DOUBLE, spare_memory_gb DOUBLE, spare_gpus BIGINT
);
CREATE TABLE scaler_states (
    name VARCHAR, leader VARCHAR, leaders VARCHAR[], led_by VARCHAR, led_since TIMESTAMP, budget_instances BIGINT,
    budget_hourly_cost DOUBLE, budget_hours DOUBLE, period_hours DOUBLE
);
CREATE TABLE instance_states (
    scaler VARCHAR, instance VARCHAR, provider VARCHAR, resource VARCHAR, slots BIGINT, status VARCHAR,
    machine VARCHAR, worker VARCHAR, reason VARCHAR, failure VARCHAR, queues VARCHAR[], instance_type VARCHAR,
    zone VARCHAR, subnet VARCHAR, spot BOOLEAN, hourly_cost DOUBLE, requested_at TIMESTAMP, launched_at TIMESTAMP,
    ready_at TIMESTAMP, drained_at TIMESTAMP, ended_at TIMESTAMP
);
CREATE TABLE decisions (
    scaler VARCHAR, "offset" BIGINT, decided_at TIMESTAMP, instances VARCHAR, hourly_cost DOUBLE, stuck VARCHAR[],
    lacking VARCHAR
);
CREATE TABLE decision_needs (
    scaler VARCHAR, "offset" BIGINT, decided_at TIMESTAMP, place BIGINT, queue VARCHAR, waiting BIGINT, stuck BIGINT,
    free BIGINT, booting BIGINT, launched BIGINT, missing BIGINT, held_back_by VARCHAR
);

-- name: views
CREATE VIEW hops AS
SELECT e.*, e.state = 'moved' AND NOT EXISTS (SELECT 1 FROM entry_states next WHERE next.origin = e.id) AS in_transit
FROM entry_states e;

CREATE VIEW entries AS
SELECT
    id, queue, task, run, hop, state, priority, rank, worker, moved_to, "offset", enqueued_at, changed_at, cpus,
    memory_gb, gpus
FROM entry_states;

-- A task is queued while a run further than its furthest known one waits, is held, or is on its way between queues.
CREATE VIEW queued AS
SELECT
    h.task, max(h.run) AS last_run, max(h.changed_at) AS changed_at,
    max({'run': h.run, 'hop': h.hop, 'id': h.id, 'queue': h.queue}) FILTER (
        WHERE h.run > t.run AND (h.state IN ('waiting', 'claimed', 'taken') OR h.in_transit)
        AND NOT list_contains(t.entries_left, h.id)
    ) AS furthest
FROM hops h JOIN task_states t ON t.id = h.task
GROUP BY h.task;

CREATE VIEW reported AS
SELECT o.task, max(o.last_iteration) AS last_iteration, max(o.reported_at) AS reported_at
FROM outputs o JOIN task_states t ON t.id = o.task
WHERE o.run >= t.visible_from OR (o.run = 0 AND t.resets = 0)
GROUP BY o.task;

CREATE VIEW aborting AS SELECT DISTINCT task, run FROM abort_requests;

CREATE VIEW tasks AS
SELECT
    t.id, t.project, t.name, t.task_type,
    CASE WHEN t.published THEN 'published' WHEN q.furthest IS NOT NULL THEN 'queued' ELSE t.status END AS status,
    CASE WHEN q.furthest IS NULL OR t.published THEN t.status_reason ELSE '' END AS status_reason,
    CASE
        WHEN q.furthest IS NOT NULL AND NOT t.published THEN ''
        WHEN t.status = 'in_progress' AND a.task IS NOT NULL THEN 'stopping'
        ELSE t.status_message
    END AS status_message,
    coalesce(q.furthest.run, t.run) AS run,
    greatest(t.run, q.last_run) AS last_run,
    t."user", t.tags, t.system_tags, t.parent, t.comment, t.progress,
    coalesce(r.last_iteration, 0) AS last_iteration,
    t.created_at, t.started_at, t.ended_at,
    greatest(t.changed_at, r.reported_at, q.changed_at) AS updated_at,
    t.worker, coalesce(q.furthest.queue, '') AS queue, t.archived, t.published, t.output_uri
FROM task_states t
LEFT JOIN queued q ON q.task = t.id
LEFT JOIN reported r ON r.task = t.id
LEFT JOIN aborting a ON a.task = t.id AND a.run = t.run
WHERE t.created_at IS NOT NULL AND NOT t.deleted;

-- Which outputs are shown: from the first visible run on, and a draft's own until the task is reset.
CREATE VIEW runs AS
SELECT
    s.task, s.run,
    CASE WHEN s.status = 'in_progress' AND s.run < t.run THEN 'stopped' ELSE s.status END AS status,
    CASE WHEN s.status = 'in_progress' AND s.run < t.run THEN 'superseded' ELSE s.reason END AS reason,
    s.message, s.traceback, s.exit_code, s.progress, s.worker, s.entry, s.continues, s.initial_iteration, s.machine,
    s.started_at, s.ended_at, s.run >= t.visible_from OR (s.run = 0 AND t.resets = 0) AS visible
FROM run_states s JOIN task_states t ON t.id = s.task
WHERE NOT t.deleted;

CREATE VIEW parameters AS
SELECT p.* FROM task_parameters p JOIN task_states t ON t.id = p.task WHERE NOT t.deleted;

CREATE VIEW configurations AS
SELECT c.* FROM task_configurations c JOIN task_states t ON t.id = c.task WHERE NOT t.deleted;

CREATE VIEW steps AS
SELECT s.* FROM step_states s JOIN task_states t ON t.id = s.task WHERE NOT t.deleted;

-- A pipeline's status is its controller's; a controller that was reset is no pipeline until it defines its steps again.
CREATE VIEW pipelines AS
WITH counts AS (
    SELECT
        task, count(*) AS steps, count(*) FILTER (status IN ('completed', 'cached')) AS done,
        count(*) FILTER (status IN ('failed', 'aborted')) AS failed, count(*) FILTER (status = 'skipped') AS skipped,
        count(*) FILTER (status IN ('queued', 'running')) AS under_way
    FROM step_states
    GROUP BY task
)
SELECT
    p.task, t.project, p.name, p.version, t.status, p.run, p.generation, coalesce(c.steps, 0) AS steps,
    coalesce(c.done, 0) AS done, coalesce(c.failed, 0) AS failed, coalesce(c.skipped, 0) AS skipped,
    coalesce(c.under_way, 0) AS under_way, p.stops_on_fail, p.time_limit, p.stopping_reason, p.stopping_failed,
    t."user", t.tags, t.archived, t.created_at, t.started_at, t.ended_at
FROM pipeline_states p
JOIN tasks t ON t.id = p.task
LEFT JOIN counts c ON c.task = p.task
WHERE p.defined_at IS NOT NULL;

CREATE VIEW trials AS
SELECT
    s.task, s.number, s.child, s.status, s."values", s.iteration, s.seconds, s.parameters, s.message, s.queued_at,
    s.started_at, s.ended_at
FROM trial_states s JOIN task_states t ON t.id = s.task
WHERE NOT t.deleted;

-- A search's status is its controller's; as a pipeline, it is none until it is defined.
CREATE VIEW searches AS
WITH counts AS (
    SELECT
        task, count(*) AS trials, count(*) FILTER (status = 'completed') AS completed,
        count(*) FILTER (status = 'pruned') AS pruned, count(*) FILTER (status IN ('failed', 'aborted')) AS failed,
        count(*) FILTER (status IN ('queued', 'running')) AS under_way, count(*) FILTER (status = 'running') AS running
    FROM trial_states
    GROUP BY task
)
SELECT
    s.task, t.project, t.name, t.status, s.run, s.base_task, s.strategy, s.queue, s.objectives, s.limits, s.space,
    coalesce(c.trials, 0) AS trials, coalesce(c.completed, 0) AS completed, coalesce(c.pruned, 0) AS pruned,
    coalesce(c.failed, 0) AS failed, coalesce(c.under_way, 0) AS under_way,
    coalesce(c.running, 0) AS running, s.spent, s.best, b.child AS best_child,
    coalesce(b."values", []) AS best_values, s.stopping_reason, s.stopping_failed, t."user", t.tags, t.archived,
    t.created_at, t.started_at, t.ended_at
FROM search_states s
JOIN tasks t ON t.id = s.task
LEFT JOIN counts c ON c.task = s.task
LEFT JOIN trial_states b ON b.task = s.task AND b.number = s.best
WHERE s.run IS NOT NULL;

CREATE VIEW artifacts AS
SELECT
    a.task, a.run, a.name, a.type, a.uri, a.size, a.sha256, a.content_type, a.preview, a.metadata, a.uploaded_at
FROM (
    SELECT v.*
    FROM artifact_versions v JOIN task_states t ON t.id = v.task
    WHERE NOT t.deleted AND t.created_at IS NOT NULL
    AND (v.run >= t.visible_from OR (v.run = 0 AND v.resets = t.resets))
    QUALIFY row_number() OVER (PARTITION BY v.task, v.name ORDER BY v."offset" DESC) = 1
) a
WHERE NOT a.deleted;

-- One model may be spoken of in several tasks' partitions; what was said last counts.
CREATE VIEW models AS
SELECT m.* EXCLUDE (deleted)
FROM (
    SELECT v.*, min(v.saved_at) OVER (PARTITION BY v.id) AS created_at
    FROM model_versions v
    QUALIFY row_number() OVER (PARTITION BY v.id ORDER BY v.saved_at DESC, v.task DESC, v."offset" DESC) = 1
) m
WHERE NOT m.deleted;

-- Models of a task: those its visible runs made (published ones always), and those they use, under the task's name.
CREATE VIEW task_models AS
WITH visible AS (SELECT id, visible_from, resets FROM task_states WHERE created_at IS NOT NULL AND NOT deleted),
uses AS (
    SELECT u.*
    FROM model_uses u JOIN visible v ON v.id = u.task
    WHERE u.run >= v.visible_from OR (u.run = 0 AND u.resets = v.resets)
    QUALIFY row_number() OVER (PARTITION BY u.task, u.model, u.name ORDER BY u."offset" DESC) = 1
)
SELECT m.*, '' AS attached_as
FROM models m JOIN visible v ON v.id = m.task
WHERE (m.published OR m.run >= v.visible_from OR (m.run = 0 AND m.resets = v.resets))
AND NOT EXISTS (SELECT 1 FROM uses u WHERE u.task = m.task AND u.model = m.id)
UNION ALL
SELECT m.* REPLACE (u.task AS task, u.run AS run, 'input' AS direction), u.name AS attached_as
FROM uses u JOIN models m ON m.id = u.model;

CREATE VIEW visible_series AS
SELECT s.*
FROM series s JOIN task_states t ON t.id = s.task
WHERE NOT t.deleted AND (s.run >= t.visible_from OR (s.run = 0 AND t.resets = 0));

CREATE VIEW scalar_summaries AS
SELECT
    task, title, series, sum(count)::BIGINT AS count,
    arg_min(first, (first_step, run)) AS first, min(first_step) AS first_step,
    arg_max(last, (last_step, run)) AS last, max(last_step) AS last_step,
    min(min) AS min, arg_min(min_step, (min, run)) FILTER (valid > 0) AS min_step,
    max(max) AS max, arg_min(max_step, (-max, run)) FILTER (valid > 0) AS max_step,
    CASE WHEN sum(valid) > 0 THEN sum(total ORDER BY run) / sum(valid) END AS mean,
    arg_max(last_at, (last_step, run)) AS last_at
FROM visible_series
GROUP BY task, title, series;

CREATE VIEW scalars AS
SELECT p.task, s.run, s.title, s.series, p.step, p.time, p.value
FROM points p JOIN visible_series s ON s.task = p.task AND s.number = p.number;

CREATE VIEW single_values AS
SELECT v.task, v.run, v.name, v.value, v.reported_at
FROM single_value_reports v JOIN task_states t ON t.id = v.task
WHERE NOT t.deleted AND (v.run >= t.visible_from OR (v.run = 0 AND t.resets = 0))
QUALIFY row_number() OVER (PARTITION BY v.task, v.name ORDER BY v."offset" DESC) = 1;

CREATE VIEW visible_reports AS
SELECT r.*
FROM reports r JOIN task_states t ON t.id = r.task
WHERE NOT t.deleted AND (r.run >= t.visible_from OR (r.run = 0 AND t.resets = 0));

CREATE VIEW texts AS SELECT * FROM visible_reports WHERE kind = 'text';

-- The same title, series and iteration again replaces a plot or a picture.
CREATE VIEW latest_reports AS
SELECT *
FROM visible_reports
WHERE kind <> 'text'
QUALIFY row_number() OVER (PARTITION BY task, kind = 'plot', title, series, iteration ORDER BY "offset" DESC) = 1;

CREATE VIEW plots AS SELECT * FROM latest_reports WHERE kind = 'plot';

CREATE VIEW media AS SELECT * FROM latest_reports WHERE kind <> 'plot';

CREATE VIEW console AS
SELECT c.*
FROM console_lines c JOIN task_states t ON t.id = c.task
WHERE NOT t.deleted AND (c.run >= t.visible_from OR (c.run = 0 AND t.resets = 0));

CREATE VIEW project_statuses AS
SELECT project, status, count(*) AS tasks, max(updated_at) AS updated_at
FROM tasks
WHERE NOT archived
GROUP BY project, status;

CREATE VIEW projects AS
SELECT project AS name, sum(tasks)::BIGINT AS tasks, map_from_entries(list((status, tasks) ORDER BY status)) AS statuses,
    max(updated_at) AS updated_at
FROM project_statuses
GROUP BY project;

-- A deleted queue is shown for as long as something waits in it: a retry may come to it, or a move, that was under way.
CREATE VIEW queues AS
WITH changes AS (
    SELECT
        queue, min(changed_at) AS created_at,
        coalesce(
            arg_max(type, "offset") FILTER (type IN ('QueuePaused', 'QueueResumed', 'QueueDeleted')) = 'QueuePaused', false
        ) AS paused,
        arg_max(reason, "offset") FILTER (type = 'QueuePaused') AS pause_reason,
        coalesce(arg_max(type, "offset") FILTER (type IN ('QueueCreated', 'QueueDeleted')) = 'QueueDeleted', false)
            AS deleted
    FROM queue_changes
    GROUP BY queue
), load AS (
    SELECT
        queue, min(enqueued_at) AS created_at, count(*) FILTER (state = 'waiting') AS waiting,
        count(*) FILTER (state = 'claimed') AS claimed, min(enqueued_at) FILTER (state = 'waiting') AS oldest_waiting_at
    FROM entry_states
    GROUP BY queue
), served AS (
    SELECT queue, list(id ORDER BY id) AS workers
    FROM (SELECT id, unnest(queues) AS queue FROM worker_states WHERE stopped_at IS NULL)
    GROUP BY queue
)
SELECT
    coalesce(c.queue, l.queue) AS name, coalesce(c.paused, false) AS paused,
    CASE WHEN c.paused THEN c.pause_reason ELSE '' END AS pause_reason, coalesce(l.waiting, 0) AS waiting,
    coalesce(l.claimed, 0) AS claimed, l.oldest_waiting_at, coalesce(s.workers, []) AS workers,
    coalesce(c.created_at, l.created_at) AS created_at, coalesce(c.deleted, false) AS deleted
FROM changes c
FULL JOIN load l ON l.queue = c.queue
LEFT JOIN served s ON s.queue = coalesce(c.queue, l.queue)
WHERE NOT coalesce(c.deleted, false) OR l.waiting + l.claimed > 0;

CREATE VIEW permits AS SELECT * FROM permit_states;

CREATE VIEW limits AS
WITH held AS (
    SELECT scope, count(DISTINCT (task, run)) AS permits
    FROM (SELECT task, run, unnest(scopes) AS scope FROM permit_states)
    GROUP BY scope
)
SELECT l.scope, l.running, coalesce(h.permits, 0) AS permits, l.set_at
FROM limit_states l LEFT JOIN held h ON h.scope = l.scope;

CREATE VIEW workers AS
SELECT w.*, EXISTS (SELECT 1 FROM drain_requests d WHERE d.worker = w.id) AS draining
FROM worker_states w;

CREATE MACRO hours_between(first, last) AS greatest(0, epoch_us(last) - epoch_us(first)) / 3.6e9;

-- A machine costs from its launch to its end. For one that is still there that is up to the latest moment the log tells of.
CREATE VIEW instances AS
SELECT
    i.scaler, i.instance, i.machine, i.provider, i.resource, i.queues, i.zone, i.subnet, i.instance_type, i.spot,
    i.hourly_cost, i.slots, i.status, i.worker, i.requested_at, i.launched_at, i.ready_at, i.drained_at, i.ended_at,
    i.reason, i.failure,
    CASE
        WHEN i.launched_at IS NULL THEN 0.0
        ELSE i.hourly_cost * hours_between(i.launched_at, coalesce(i.ended_at, l.latest))
    END AS cost
FROM instance_states i, (SELECT max(appended_at) AS latest FROM positions) l;

CREATE VIEW scaling AS
SELECT decided_at, scaler, queue, waiting, stuck, free, booting, launched, missing, held_back_by, "offset", place
FROM decision_needs;

-- Hours count from the request and dollars from the launch; `period_…` is what falls into the budget's period.
CREATE VIEW scalers AS
WITH led AS (
    SELECT
        s.*, l.latest,
        l.latest - to_microseconds((coalesce(s.period_hours, 24) * 3.6e9)::BIGINT) AS period_began
    FROM scaler_states s, (SELECT max(appended_at) AS latest FROM positions) l
), machines AS (
    SELECT
        i.scaler, count(*) FILTER (i.ended_at IS NULL) AS live, sum(i.cost ORDER BY i.instance) AS spent,
        sum(i.hourly_cost ORDER BY i.instance) FILTER (i.ended_at IS NULL AND i.launched_at IS NOT NULL) AS hourly_cost,
        sum(hours_between(greatest(i.requested_at, s.period_began), coalesce(i.ended_at, s.latest)) ORDER BY i.instance)
            AS period_hours_used,
        sum(
            i.hourly_cost * hours_between(greatest(i.launched_at, s.period_began), coalesce(i.ended_at, s.latest))
            ORDER BY i.instance
        ) FILTER (i.launched_at IS NOT NULL) AS period_spent
    FROM instances i JOIN led s ON s.name = i.scaler
    GROUP BY i.scaler
)
SELECT
    s.name, s.led_by, s.led_since, coalesce(m.live, 0) AS machines, coalesce(m.hourly_cost, 0.0) AS hourly_cost,
    coalesce(m.spent, 0.0) AS spent, d.decided_at, coalesce(s.period_hours, 24.0) AS period_hours,
    coalesce(m.period_hours_used, 0.0) AS period_hours_used, coalesce(m.period_spent, 0.0) AS period_spent,
    s.budget_instances, s.budget_hourly_cost, s.budget_hours, coalesce(d.lacking, '{}') AS lacking
FROM led s
LEFT JOIN machines m ON m.scaler = s.name
LEFT JOIN (
    SELECT scaler, max(decided_at) AS decided_at, arg_max(lacking, "offset") AS lacking FROM decisions GROUP BY scaler
) d ON d.scaler = s.name;
