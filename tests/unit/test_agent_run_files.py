"""What an agent gives its runs: folders with an owner, settings without what is not theirs, texts without secrets."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasktape.agent.masking import mask_for
from tasktape.agent.run_folders import RunFolder, remove_abandoned
from tasktape.agent.run_settings import without_settings, write_run_settings
from tasktape.events.settings import Settings, load_settings

OWNER = """
import sys
from pathlib import Path
from tasktape.agent.run_folders import RunFolder
print(RunFolder(Path(sys.argv[1])).path, flush=True)
sys.stdin.read()
"""
LATER = time.time() + 3600


def test_the_folder_of_an_agent_that_died_is_removed_and_no_other(tmp_path: Path) -> None:
    mine = RunFolder(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        other = Path(owner.stdout.readline().strip())
        remove_abandoned(tmp_path, LATER)
        assert other.exists()
        owner.kill()
        owner.wait()
    remove_abandoned(tmp_path)
    assert other.exists(), "what was made a moment ago may not be locked yet"
    remove_abandoned(tmp_path, LATER)
    assert list(tmp_path.iterdir()) == [mine.path]
    mine.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may do everything")
def test_a_folder_is_removed_though_a_program_has_locked_itself_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    inner = folder.path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    inner.chmod(0)
    (folder.path / "a").chmod(0o500)
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path / 'odd "home"',
        log="kafka://broker:9092",
        kafka={"sasl.password": 'pass"word\n2', "linger.ms": "5"},
        schema_registry="https://ann:registry-secret@registry",
        projection=None,
        heartbeat_interval=2.5,
        git={"github.com": {"token": "git-secret"}},
    )


def test_a_program_reads_the_agent_s_settings_without_what_opens_repositories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(tmp_path)
    file = tmp_path / "tasktape.toml"
    write_run_settings(file, given)
    for name in [name for name in os.environ if name.startswith("TASKTAPE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TASKTAPE_CONFIG", str(file))
    assert load_settings() == given.model_copy(update={"git": {}})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_variables_that_are_settings_are_told_from_others() -> None:
    ours = {"TASKTAPE_LOG": "a", "TASKTAPE_KAFKA_SASL_PASSWORD": "b", "TASKTAPE_GIT_TOKEN": "c", "TASKTAPE_CONFIG": "d"}
    kept = {"PATH": "e", "TASKTAPE_LOG_ENVIRONMENT": "f", "TASKTAPE_DEBUG": "1", "GIT_TOKEN": "g"}
    assert without_settings(ours | kept) == kept


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("token git-secret!", "token ********!"),
        ("git-secret and git-secret", "******** and ********"),
        ("at https://ann:registry-secret@registry", "at https://ann:********@registry"),
        ('first line pass"word', "first line ********"),
        ("key s3-secret-key", "key ********"),
        ("index p%40ss-of-index, p@ss-of-index", "index ********, ********"),
        ("TOKENIZERS_PARALLELISM=disabled-here short", "TOKENIZERS_PARALLELISM=disabled-here short"),
        ("user ann, broker:9092", "user ann, broker:9092"),
    ],
)
def test_secrets_are_taken_out_of_texts_and_nothing_else(tmp_path: Path, text: str, masked: str) -> None:
    environment = {
        "AWS_SECRET_ACCESS_KEY": "s3-secret-key",
        "AWS_ACCESS_KEY_ID": "broker:9092",
        "TOKENIZERS_PARALLELISM": "disabled-here",
        "DB_PASSWORD": "short",
        "PIP_INDEX_URL": "https://ann:p%40ss-of-index@index/simple",
    }
    assert mask_for(settings(tmp_path), environment)(text) == masked


def test_without_secrets_a_text_stays_as_it_is(tmp_path: Path) -> None:
    assert mask_for(Settings(home=tmp_path), {"PATH": "/usr/bin"})("anything at all") == "anything at all"
