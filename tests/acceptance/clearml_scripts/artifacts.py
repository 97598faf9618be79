"""Artifacts of several kinds and a model, uploaded and read back by the same script."""

from pathlib import Path

import numpy as np
from clearml import OutputModel, StorageManager, Task


def main():
    task = Task.init(project_name="examples", task_name="artifacts", output_uri=True)

    task.upload_artifact("numbers", artifact_object=np.eye(3))
    task.upload_artifact("summary", artifact_object={"loss": 0.5, "labels": ["a", "b"]}, metadata={"by": "script"})
    task.upload_artifact("note", artifact_object="a short text")
    Path("data.csv").write_text("a,b\n1,2\n")
    task.upload_artifact("file", artifact_object="data.csv", wait_on_upload=True)
    Path("folder").mkdir()
    Path("folder/one.txt").write_text("1")
    task.upload_artifact("folder", artifact_object=Path("folder"))

    Path("model.bin").write_bytes(b"\0" * 1000)
    model = OutputModel(task=task, framework="custom", label_enumeration={"cat": 1})
    model.update_weights(weights_filename="model.bin", auto_delete_file=False)
    OutputModel.wait_for_uploads()

    task.flush(wait_for_uploads=True)
    assert (task.artifacts["numbers"].get() == np.eye(3)).all()
    assert task.artifacts["summary"].get() == {"loss": 0.5, "labels": ["a", "b"]}
    assert task.artifacts["note"].get() == "a short text"
    assert Path(task.artifacts["file"].get_local_copy()).read_text() == "a,b\n1,2\n"
    copy = StorageManager.get_local_copy(task.artifacts["file"].url)
    assert Path(copy).read_text() == "a,b\n1,2\n"
    assert task.models["output"][-1].id == model.id


if __name__ == "__main__":
    main()
