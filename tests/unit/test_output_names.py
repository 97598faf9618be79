"""Artifacts, models and storage are called as in ClearML."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from tasktape import InputModel, Model, OutputModel, StorageManager
from tasktape.producers.artifacts import Artifact

CLASSES: list[Any] = [Artifact, InputModel, Model, OutputModel, StorageManager]
SIGNATURES = """
Artifact.get(force_download=False, deserialization_function=None, block_unsafe_artifacts=False)
Artifact.get_local_copy(extract_archive=True, raise_on_error=False, force_download=False)
OutputModel(task=None, config_text=None, config_dict=None, label_enumeration=None, name=None, tags=None, comment=None, framework=None, base_model_id=None)
OutputModel.update_weights(weights_filename=None, upload_uri=None, target_filename=None, auto_delete_file=True, register_uri=None, iteration=None, update_comment=True, is_package=False, async_enable=True)
OutputModel.update_weights_package(weights_filenames=None, weights_path=None, upload_uri=None, target_filename=None, auto_delete_file=True, iteration=None, async_enable=True)
OutputModel.update_design(config_text=None, config_dict=None)
OutputModel.update_labels(labels)
OutputModel.set_upload_destination(uri)
OutputModel.set_metadata(key, value, v_type=None)
OutputModel.publish()
OutputModel.archive()
OutputModel.wait_for_uploads(timeout=None, max_num_uploads=None)
OutputModel.set_default_upload_uri(output_uri)
InputModel(model_id=None, name=None, project=None, tags=None, only_published=False)
InputModel.connect(task, name=None, ignore_remote_overrides=False)
InputModel.import_model(weights_url, config_text=None, config_dict=None, label_enumeration=None, name=None, project=None, tags=None, comment=None, is_package=False, create_as_published=False, framework=None)
InputModel.get_weights(raise_on_error=False, force_download=False, extract_archive=False)
Model.query_models(project_name=None, model_name=None, tags=None, only_published=False, include_archived=False, max_results=None, metadata=None)
Model.get_local_copy(extract_archive=None, raise_on_error=False, force_download=False)
Model.remove(model, delete_weights_file=True, force=False, raise_on_errors=False)
StorageManager.get_local_copy(remote_url, cache_context=None, extract_archive=True, name=None, force_download=False)
StorageManager.upload_file(local_file, remote_url, wait_for_upload=True, retries=None)
StorageManager.upload_folder(local_folder, remote_url, match_wildcard=None, retries=None)
StorageManager.download_file(remote_url, local_folder=None, overwrite=False, skip_zero_size_check=False, silence_errors=False)
StorageManager.list(remote_url, return_full_path=False, with_metadata=False, read_hash=False)
StorageManager.get_file_size_bytes(remote_url, silence_errors=False)
StorageManager.set_cache_file_limit(cache_file_limit, cache_context=None)
"""  # noqa: E501  one line each, to be compared with the reference by eye
PROPERTIES = {
    Artifact: "url size hash type preview metadata name",
    OutputModel: "id name project comment tags config_text config_dict labels task url published framework",
}


def signature(called: str) -> str:
    """Parameters as they are called: without `self`, without types."""
    owner, _, method = called.partition(".")
    kind = next(kind for kind in CLASSES if kind.__name__ == owner)
    parameters = inspect.signature(getattr(kind, method) if method else kind).parameters.values()
    shown = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters if p.name != "self"]
    return f"{called}({', '.join(shown)})"


@pytest.mark.parametrize("expected", SIGNATURES.split("\n")[1:-1], ids=lambda line: line.partition("(")[0])
def test_a_call_has_the_parameters_it_has_in_clearml(expected: str) -> None:
    assert signature(expected.partition("(")[0]) == expected


@pytest.mark.parametrize("kind", PROPERTIES, ids=lambda kind: kind.__name__)
def test_what_is_read_in_clearml_is_read_here(kind: type) -> None:
    for name in PROPERTIES[kind].split():
        assert isinstance(inspect.getattr_static(kind, name), property)
