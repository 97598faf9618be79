-- What the removal of a model must know. Texts are put in by `models.py`, quoted.

-- name: users
SELECT DISTINCT task FROM task_models WHERE id = {model} AND task <> {task} AND direction = 'input' ORDER BY task;
