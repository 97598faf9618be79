-- name: uses
-- How many artifacts, models and reports name one content.
SELECT count(*) AS uses
FROM (
    SELECT uri FROM artifacts UNION ALL SELECT uri FROM models UNION ALL SELECT uri FROM visible_reports
)
WHERE uri = {uri};
