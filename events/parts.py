"""Records that several events share: what a task is made of, and references to large payloads."""

from __future__ import annotations

from pydantic import Field

from .base import Part
from .hardware import Hardware


class BlobRef(Part):
    """Where a large payload lies in the blob store, and how to know it is the right one."""

    uri: str
    size: int
    sha256: str
    content_type: str = "application/octet-stream"


class Parameter(Part):
    """A hyper-parameter, `Section/key` its name; its `value` is JSON text, so that its type survives.

    `type` is its Python type's name, for people and for enums (`module:QualName`).
    """

    name: str
    value: str
    type: str = "str"
    description: str = ""


class Configuration(Part):
    """A configuration object: a whole text. `type` is `dict`, `file` (with the file's suffix in `suffix`) or `text`."""

    name: str
    text: str
    type: str = "text"
    suffix: str = ""
    description: str = ""


class Script(Part):
    """What to run: a commit of a repository with the uncommitted diff, or a lone script that travels whole."""

    repository: str = ""
    branch: str = ""
    commit: str = ""
    working_dir: str = "."
    entry_point: str = ""
    arguments: list[str] = Field(default_factory=list)
    diff: str = ""
    diff_blob: BlobRef | None = None
    bundle: BlobRef | None = None
    untracked: BlobRef | None = None
    source: str = ""
    binary: str = "python"
    python_version: str = ""
    requirements: list[str] = Field(default_factory=list)


class Container(Part):
    """The container a task asks for."""

    image: str = ""
    arguments: str = ""
    setup_script: str = ""


class TaskSpec(Part):
    """All that is needed to run a task anywhere; travels whole in `EntryEnqueued`, so an agent needs no database.

    A run that fails by its own fault is repeated `retries` times. It may take `time_limit` seconds; 0 for no limit.
    Only a worker that has `hardware` left for it takes it.
    """

    project: str
    name: str
    task_type: str = "training"
    user: str = ""
    comment: str = ""
    tags: list[str] = Field(default_factory=list)
    system_tags: list[str] = Field(default_factory=list)
    parent: str = ""
    script: Script = Field(default_factory=Script)
    container: Container = Field(default_factory=Container)
    parameters: list[Parameter] = Field(default_factory=list)
    configurations: list[Configuration] = Field(default_factory=list)
    environment: dict[str, str] = Field(default_factory=dict)
    output_uri: str = ""
    retries: int = 0
    time_limit: float = 0.0
    hardware: Hardware = Field(default_factory=Hardware)


class Artifact(Part):
    """A named output of a task. `type` says how it was made (`pandas`, `numpy`, `dict`, `file`, `pickle` …)."""

    name: str
    type: str
    uri: str
    size: int
    sha256: str
    content_type: str = "application/octet-stream"
    preview: str = ""
    metadata: dict[str, str] = Field(default_factory=dict)


class Model(Part):
    """A model: its weights by reference, and what describes them. `direction` is `output` or `input`."""

    id: str
    name: str
    direction: str = "output"
    project: str = ""
    framework: str = ""
    uri: str = ""
    size: int = 0
    sha256: str = ""
    comment: str = ""
    tags: list[str] = Field(default_factory=list)
    labels: dict[str, int] = Field(default_factory=dict)
    design: str = ""
    metadata: dict[str, str] = Field(default_factory=dict)
    iteration: int = 0
    published: bool = False
    archived: bool = False
