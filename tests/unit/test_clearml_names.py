"""`Task` has ClearML's methods with its parameters and defaults, so that scripts written for it run as they are."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

import tasktape
from tasktape import Task
from tasktape.producers.types import TaskStatusEnum as Status

SIGNATURES = """
init(project_name=None, task_name=None, task_type=training, tags=None, reuse_last_task_id=True, continue_last_task=False, output_uri=None, auto_connect_arg_parser=True, auto_connect_frameworks=True, auto_resource_monitoring=True, auto_connect_streams=True, deferred_init=False)
create(project_name=None, task_name=None, task_type=None, repo=None, branch=None, commit=None, script=None, working_directory=None, packages=None, requirements_file=None, docker=None, docker_args=None, docker_bash_setup_script=None, argparse_args=None, base_task_id=None, add_task_init_call=True, force_single_script_file=False, binary=None, module=None, detect_repository=True)
get_task(task_id=None, project_name=None, task_name=None, tags=None, allow_archived=True, task_filter=None)
get_tasks(task_ids=None, project_name=None, task_name=None, tags=None, allow_archived=True, task_filter=None)
query_tasks(project_name=None, task_name=None, tags=None, additional_return_fields=None, task_filter=None)
current_task()
connect(mutable, name=None, ignore_remote_overrides=False)
connect_configuration(configuration, name=None, description=None, ignore_remote_overrides=False)
set_parameters(*args, **kwargs)
update_parameters(*args, **kwargs)
set_parameter(name, value, description=None, value_type=None)
get_parameter(name, default=None, cast=False)
get_parameters(backwards_compatibility=True, cast=False)
get_parameters_as_dict(cast=False)
set_parameters_as_dict(dictionary)
delete_parameter(name, force=False)
upload_artifact(name, artifact_object, metadata=None, delete_after_upload=False, auto_pickle=None, preview=None, wait_on_upload=False, extension_name=None, serialization_function=None, retries=0, sort_keys=True)
register_artifact(name, artifact, metadata=None, uniqueness_columns=True)
get_logger()
clone(source_task=None, name=None, comment=None, parent=None, project=None)
enqueue(task, queue_name=None, queue_id=None, force=False)
dequeue(task)
get_num_enqueued_tasks(queue_name=None, queue_id=None)
execute_remotely(queue_name=None, clone=False, exit_process=True)
create_function_task(func, func_name=None, task_name=None, **kwargs)
close()
flush(wait_for_uploads=False)
mark_started(force=False)
mark_stopped(force=False, status_message=None)
mark_completed(ignore_errors=True, status_message=None, force=False)
mark_failed(ignore_errors=True, status_reason=None, status_message=None, force=False)
mark_stop_request(force=False, status_message=None)
publish(ignore_errors=True)
publish_on_completion(enable=True)
reset(set_started_on_success=False, force=False)
delete(delete_artifacts_and_models=True, skip_models_used_by_other_tasks=True, raise_on_error=False, callback=None)
set_archived(archive)
wait_for_status(status=(completed, stopped, closed), raise_on_status=(failed), check_interval_sec=60.0)
get_status()
reload()
register_abort_callback(callback_function, callback_execution_timeout=30.0)
get_reported_scalars(max_samples=0, x_axis='iter')
get_all_reported_scalars(x_axis='iter')
get_last_scalar_metrics()
get_reported_single_values()
get_reported_plots(max_iterations=None)
get_reported_console_output(number_of_reports=1)
get_debug_samples(title, series, n_last_iterations=None)
get_last_iteration()
set_initial_iteration(offset=0)
set_user_properties(*iterables, **properties)
get_user_properties(value_only=False)
add_tags(tags)
set_tags(tags)
get_tags()
remove_tags(tags)
set_comment(comment)
rename(new_name)
move_to_project(new_project_id=None, new_project_name=None, system_tags=None)
set_parent(parent=None)
set_progress(progress)
set_base_docker(docker_cmd=None, docker_image=None, docker_arguments=None, docker_setup_bash_script=None)
set_packages(packages)
set_repo(repo=None, branch=None, commit=None)
set_script(repository=None, branch=None, commit=None, diff=None, working_dir=None, entry_point=None, binary=None)
add_requirements(package_name, package_version=None)
ignore_requirements(package_name)
force_requirements_env_freeze(force=True, requirements_file=None)
force_store_standalone_script(force=True)
export_task()
import_task(task_data, target_task=None, update=False)
running_locally()
set_credentials(api_host=None, web_host=None, files_host=None, key=None, secret=None, store_conf_file=False)
debug_simulate_remote_task(task_id, reset_task=False)
set_random_seed(random_seed)
get_output_log_web_page()
set_offline(offline_mode=False)
import_offline_session(session_folder_zip, previous_task_id=None, iteration_offset=0)
get_by_name(task_name)
get_project_id(project_name, search_hidden=True)
set_resource_monitor_iteration_timeout(seconds_from_start=30.0, wait_for_first_iteration_to_start_sec=180.0, max_wait_for_first_iteration_to_start_sec=1800.0)
"""  # noqa: E501  one line each, to be compared with the reference by eye

PROPERTIES = ["id", "name", "project", "status", "task_type", "comment", "parent", "artifacts", "models", "data"]
PATHS = {
    "tasktape": ["Task", "TaskTypes", "Logger", "OutputModel", "InputModel", "Model", "StorageManager"],
    "tasktape.task": ["Task"],
    "tasktape.logger": ["Logger"],
    "tasktape.model": ["Framework", "InputModel", "Model", "OutputModel"],
    "tasktape.storage": ["StorageManager"],
    "tasktape.task_parameters": ["TaskParameters", "param", "percent_param"],
    "tasktape.utilities.plotly_reporter": ["SeriesInfo"],
    "tasktape.errors": ["UsageError"],
}


def shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))})"
    return str(value) if isinstance(value, (Status, Task.TaskTypes)) else repr(value)


def signature(name: str) -> str:
    """A method's parameters as they are called: without `self`, without types, without those only we have."""
    found = []
    for parameter in inspect.signature(getattr(Task, name)).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            continue
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
        default = "" if parameter.default is parameter.empty else f"={shown(parameter.default)}"
        found.append(f"{stars}{parameter.name}{default}")
    return f"{name}({', '.join(text for text in found if text != 'self')})"


@pytest.mark.parametrize("expected", SIGNATURES.split("\n")[1:-1], ids=lambda line: line.partition("(")[0])
def test_a_method_is_called_as_in_clearml(expected: str) -> None:
    assert signature(expected.partition("(")[0]) == expected


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_property_is_read_as_in_clearml(name: str) -> None:
    assert isinstance(inspect.getattr_static(Task, name), property)


@pytest.mark.parametrize(("module", "names"), PATHS.items(), ids=PATHS.keys())
def test_names_are_imported_from_the_paths_clearml_has(module: str, names: list[str]) -> None:
    found = importlib.import_module(module)
    for name in names:
        assert getattr(found, name) is not None


def test_all_public_names_exist() -> None:
    assert set(tasktape.__all__) <= set(dir(tasktape))
    for name in tasktape.__all__:
        assert getattr(tasktape, name) is not None


def test_what_does_not_exist_yet_says_so() -> None:
    with pytest.raises(ImportError, match="tasktape has no Dataset yet"):
        from tasktape import Dataset  # noqa: F401, PLC0415


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = tasktape.nothing_like_it


def test_types_and_states_have_clearmls_values() -> None:
    assert Task.TaskTypes("data_processing") == "data_processing"
    assert str(Task.TaskStatusEnum.in_progress) == "in_progress"


def test_the_package_is_typed() -> None:
    assert (Path(tasktape.__file__).parent / "py.typed").is_file()
