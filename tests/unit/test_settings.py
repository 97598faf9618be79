"""Where settings come from, which source wins, and what people see when one is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasktape.agent.settings_apart import settings_apart
from tasktape.events.errors import SettingsError
from tasktape.events.settings import Settings, load_settings

SECRET = "correct-horse"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine reaches a test; the current folder and the home are empty ones."""
    for name in [name for name in os.environ if name.startswith("TASKTAPE_")]:
        monkeypatch.delenv(name)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path))


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_any_set_up_everything_lies_in_the_users_home(tmp_path: Path) -> None:
    settings = load_settings()
    home = tmp_path / ".tasktape"
    assert settings.home == home
    assert settings.log == f"sqlite:///{home}/log.db"
    assert settings.blobs == f"{home}/blobs"
    assert (settings.heartbeat_interval, settings.claim_lease) == (5.0, 10.0)
    assert not home.exists()


def test_the_home_moves_what_is_derived_from_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TASKTAPE_HOME", "elsewhere")
    assert load_settings().log == f"sqlite:///{tmp_path}/work/elsewhere/log.db"


def test_variables_win_over_the_file_and_the_file_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    write(Path("tasktape.toml"), 'claim_lease = 7\nheartbeat_interval = 2\nlog = "kafka://filed:9092"\n')
    monkeypatch.setenv("TASKTAPE_CLAIM_LEASE", "8")
    settings = load_settings()
    assert (settings.claim_lease, settings.heartbeat_interval) == (8.0, 2.0)
    assert settings.log == "kafka://filed:9092"
    assert settings.projection is None


def test_the_named_file_wins_over_the_current_folders_and_that_over_the_homes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path / ".tasktape" / "tasktape.toml", "claim_lease = 1")
    assert load_settings().claim_lease == 1
    write(Path("tasktape.toml"), "claim_lease = 2")
    assert load_settings().claim_lease == 2
    monkeypatch.setenv("TASKTAPE_CONFIG", str(write(tmp_path / "named.toml", "claim_lease = 3")))
    assert load_settings().claim_lease == 3


def test_an_empty_variable_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_CLAIM_LEASE", "")
    assert load_settings().claim_lease == 10


def test_librdkafka_properties_come_from_the_kafka_section_and_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        Path("tasktape.toml"),
        '[kafka]\nsecurity.protocol = "SASL_SSL"\n"sasl.username" = "ann"\nenable.idempotence = true\nlinger.ms = 5\n',
    )
    monkeypatch.setenv("TASKTAPE_KAFKA_SASL_USERNAME", "bob")
    assert load_settings().kafka == {
        "security.protocol": "SASL_SSL",
        "sasl.username": "bob",
        "enable.idempotence": "true",
        "linger.ms": "5",
    }


@pytest.mark.parametrize(
    "show", [repr, str, lambda settings: f"{settings.kafka}", lambda settings: repr(settings.kafka)]
)
def test_secrets_are_never_printed(show: type[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_SCHEMA_REGISTRY", f"https://ann:{SECRET}@registry:8081/apis")
    monkeypatch.setenv("TASKTAPE_LOG", f"kafka://ann:{SECRET}@broker:9092")
    names = ("SASL_PASSWORD", "SSL_KEY_PEM", "SSL_KEYSTORE_PASSWORD", "SASL_OAUTHBEARER_CLIENT_SECRET")
    for name in names:
        monkeypatch.setenv(f"TASKTAPE_KAFKA_{name}", SECRET)
    settings = load_settings()
    assert settings.kafka["sasl.password"] == SECRET
    assert SECRET not in show(settings)
    assert "sasl.password" in show(settings)


@pytest.mark.parametrize(
    "text",
    [
        f'[git."github.com"]\ntoken = ["{SECRET}"]',
        f'kafka = "{SECRET}"',
        f"log = [{SECRET!r}]",
        f"[kafka]\nx = {SECRET}",
        f'{{"{SECRET}"',
    ],
)
def test_errors_do_not_print_what_was_given(text: str) -> None:
    write(Path("tasktape.toml"), text)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert SECRET not in str(raised.value)
    assert "tasktape.toml" in str(raised.value)


def test_not_even_a_programmers_mistake_prints_what_was_given() -> None:
    with pytest.raises(ValueError, match="kafka") as raised:
        Settings(kafka=SECRET)
    assert SECRET not in str(raised.value)


def test_an_unknown_key_is_named_with_its_file() -> None:
    path = write(Path("tasktape.toml"), 'lock = "sqlite:///x.db"').absolute()
    with pytest.raises(SettingsError, match=rf"{path}: unknown key 'lock'.*\blog\b"):
        load_settings()


def test_a_wrong_value_is_named_with_its_variable_or_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(Path("tasktape.toml"), "claim_lease = -1").absolute()
    with pytest.raises(SettingsError, match=f"'claim_lease' in {path}: .*greater than 0"):
        load_settings()
    monkeypatch.setenv("TASKTAPE_CLAIM_LEASE", "soon")
    with pytest.raises(SettingsError, match=r"TASKTAPE_CLAIM_LEASE: .*valid number"):
        load_settings()


def test_a_named_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_CONFIG", "missing.toml")
    with pytest.raises(SettingsError, match=r"TASKTAPE_CONFIG names missing\.toml"):
        load_settings()


def test_a_file_that_is_no_text_is_an_error() -> None:
    Path("tasktape.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"tasktape\.toml can't be read"):
        load_settings()


def test_other_programs_variables_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_TASK_ID", "abc")
    monkeypatch.setenv("LOG", "no")
    assert load_settings().log.startswith("sqlite:///")


def test_paths_are_absolute_and_addresses_stay_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TASKTAPE_BLOBS", "~/blobs")
    monkeypatch.setenv("TASKTAPE_OUTPUT_URI", "out")
    assert (load_settings().blobs, load_settings().output_uri) == (f"{tmp_path}/blobs", f"{tmp_path}/work/out")
    monkeypatch.setenv("TASKTAPE_BLOBS", "s3://bucket/prefix")
    assert load_settings().blobs == "s3://bucket/prefix"


def test_what_the_caller_gives_wins_over_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TASKTAPE_HOME", "elsewhere")
    assert Settings(home=tmp_path).log == f"sqlite:///{tmp_path}/log.db"


def test_settings_open_what_they_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TASKTAPE_LOG", "memory://settings")
    settings = load_settings()
    with settings.open_log() as log:
        assert log.url == "memory://settings"
    assert settings.blob_store().url == f"{tmp_path}/.tasktape/blobs"
    ref = settings.blob_store().put_bytes(b"x")
    assert settings.blob_store().exists(ref)


def test_what_opens_private_repositories_comes_from_the_git_section_and_from_variables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(
        Path("tasktape.toml"),
        f'[git."github.com"]\ntoken = "{SECRET}"\n[git."git.example.org:8443"]\nssh_key = "~/key"',
    )
    monkeypatch.setenv("TASKTAPE_GIT_HOST", "gitlab.com")
    monkeypatch.setenv("TASKTAPE_GIT_USER", "ann")
    monkeypatch.setenv("TASKTAPE_GIT_TOKEN", SECRET)
    settings = load_settings()
    assert {name: host.user for name, host in settings.git.items()} == {
        "github.com": "git",
        "git.example.org:8443": "git",
        "gitlab.com": "ann",
    }
    assert settings.git["gitlab.com"].token.get_secret_value() == SECRET
    assert settings.git["git.example.org:8443"].ssh_key == tmp_path / "key"
    assert SECRET not in repr(settings)


def test_a_token_without_a_host_is_an_error_that_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_GIT_TOKEN", SECRET)
    with pytest.raises(SettingsError, match="TASKTAPE_GIT_HOST") as raised:
        load_settings()
    assert SECRET not in str(raised.value)


def test_settings_read_by_a_child_are_those_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_HEARTBEAT_INTERVAL", "2.5")
    monkeypatch.setenv("TASKTAPE_KAFKA_SASL_PASSWORD", "hush")
    found = settings_apart()
    assert (found, type(found)) == (load_settings(), Settings)
    assert found.kafka["sasl.password"] == "hush"
    assert "hush" not in repr(found)


def test_what_is_wrong_with_settings_is_told_by_the_child_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_HEARTBEAT_INTERVAL", "never")
    with pytest.raises(SettingsError, match="TASKTAPE_HEARTBEAT_INTERVAL"):
        settings_apart()
