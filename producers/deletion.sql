-- What the deletion of a task must know about blobs. Texts are put in by `deletion.py`, quoted.

-- name: named_elsewhere
SELECT uri FROM artifact_versions WHERE task <> {task} AND NOT deleted AND uri IN ({uris})
UNION
SELECT uri FROM model_versions WHERE task <> {task} AND NOT deleted AND uri IN ({uris})
UNION
SELECT uri FROM reports WHERE task <> {task} AND uri IN ({uris})
UNION
SELECT uri FROM model_versions JOIN model_uses ON model_uses.model = model_versions.id
WHERE model_uses.task <> {task} AND uri IN ({uris})
