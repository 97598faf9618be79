"""Settings of machines at AWS: what may be said, where what is wrong is named, and that no secret stands there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasktape.events.errors import SettingsError
from tasktape.events.settings import Settings
from tasktape.scaler.aws_boot import boot_for
from tasktape.scaler.aws_settings import machines_of
from tasktape.scaler.config import read_config
from tasktape.scaler.references import Reference, reference, with_secrets
from tasktape.scaler.settings import ScalerSettings

HEAD = """
provider = "aws"
queues.gpu = [["g5", 3]]
resources.g5.instance_type = "g5.xlarge"
"""
OWN = Settings(log="kafka://broker:9092", blobs="s3://bucket/prefix")


def read(folder: Path, text: str) -> ScalerSettings:
    file = folder / "scaler.toml"
    file.write_text(HEAD + text)
    return read_config(file)


def scaler(machine: dict[str, Any], aws: dict[str, Any] | None = None, **resource: Any) -> ScalerSettings:
    kind = {"provider": {"ami_id": "ami-1"} | machine, **resource}
    return ScalerSettings.model_validate(
        {"provider": "aws", "queues": {"gpu": [["g5", 3]]}, "resources": {"g5": kind}, "aws": aws or {}}
    )


def boot(settings: ScalerSettings, own: Settings = OWN) -> Any:
    machines = machines_of(settings.aws, {name: kind.provider for name, kind in settings.resources.items()})
    return boot_for(settings, own, "g5", machines["g5"], "0" * 32)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[resources.g5.provider]", r"resources\.g5\.provider: .*ami_id"),
        ('resources.g5.provider.ami_id = "debian"', r"resources\.g5\.provider\.ami_id: "),
        ('resources.g5.provider.ami = "ami-1"', r"resources\.g5\.provider\.ami: "),
        ('aws.ami_id = "ami-1"\naws.zone = "a"', r"aws\.zone: "),
        ('aws.ami_id = "ami-1"\naws.ebs_volume_size = 80', r"resources\.g5\.provider: .*ebs_device_name"),
        ('aws.ami_id = "ami-1"\naws.iam_name = "a"\naws.iam_arn = "b"', r"iam_arn, iam_name"),
        ('aws.extra_configurations.UserData = "x"', r"aws\.extra_configurations: .*UserData"),
        ('aws.extra_configurations.MetadataOptions.HttpTokens = "optional"', r"extra_configurations: .*version 2"),
        ('aws.settings.broker = "x"', r"aws\.settings\.broker: "),
        ('aws.settings.kafka.sasl.password = "hunter22"', r"aws\.settings: .*kafka\.sasl\.password: .*secret"),
        ('aws.settings.git."github.com".token = "hunter22"', r"aws\.settings: .*git\.github\.com\.token: .*secret"),
        ('aws.settings.schema_registry = "https://u:hunter22@host"', r"aws\.settings: .*schema_registry: .*secret"),
        ('aws.environment.WANDB_TOKEN = "hunter22"', r"aws\.environment: .*WANDB_TOKEN: .*secret"),
        ('aws.environment.DB = "db://u:hunter22@host"', r"aws\.environment: .*DB: .*secret"),
        ('aws.package = "tasktape @ https://u:hunter22@host/t.whl"', r"aws\.package: .*password"),
        ('aws.extra_vm_bash_script = "echo \\u0000"', r"aws\.extra_vm_bash_script: .*NUL"),
    ],
)
def test_what_is_wrong_is_named_by_its_key_and_no_secret_is_repeated(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as raised:
        read(tmp_path, line)
    assert "hunter22" not in str(raised.value)


def test_the_table_aws_speaks_of_all_machines_and_a_resource_of_its_own() -> None:
    aws = {"ami_id": "ami-0", "tags": "team=ml, cost=7", "settings": {"kafka": {"ssl.ca.location": "/ca", "a": 1}}}
    own = {"tags": {"cost": "8"}, "security_group_ids": "sg-1", "settings": {"kafka": {"a": 2}}}
    machine = machines_of(scaler(own, aws).aws, {"g5": own})["g5"]
    assert machine.ami_id == "ami-0"
    assert machine.tags == {"team": "ml", "cost": "8"}
    assert machine.security_group_ids == ("sg-1",)
    assert machine.settings == {"kafka": {"ssl.ca.location": "/ca", "a": "2"}}


def test_other_providers_need_nothing_of_aws() -> None:
    local = {"provider": "local", "queues": {"q": [["r", 1]]}, "resources": {"r": {}}}
    assert ScalerSettings.model_validate(local).provider == "local"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ssm:/ml/kafka", Reference("ssm", "/ml/kafka")),
        ("ssm:/ml/kafka:3", Reference("ssm", "/ml/kafka:3")),
        (
            "secretsmanager:arn:aws:secretsmanager:eu:1:secret:x#key",
            ("secretsmanager", "arn:aws:secretsmanager:eu:1:secret:x", "key"),
        ),
        ("secretsmanager:ml/git", Reference("secretsmanager", "ml/git")),
        ("https://host/ssm:x", None),
        ("ssm:", None),
        (7, None),
    ],
)
def test_references_are_told_from_values(text: Any, found: object) -> None:
    assert reference(text) == found


def test_secrets_take_the_place_of_references_in_all_tables() -> None:
    tree = {"log": "kafka://b", "kafka": {"sasl.password": "ssm:p"}, "claim_lease": 10.0}
    told = with_secrets(tree, lambda wanted: wanted.name * 2)
    assert told == {"log": "kafka://b", "kafka": {"sasl.password": "pp"}, "claim_lease": 10.0}


def test_a_machine_shares_the_scalers_log_and_blobs_and_gets_its_own_secrets() -> None:
    own = OWN.model_copy(update={"kafka": {"security.protocol": "SASL_SSL", "sasl.password": "hunter22"}})
    made = boot(scaler({"settings": {"kafka": {"sasl.password": "ssm:/p"}}}), own)
    assert made.settings["log"] == "kafka://broker:9092"
    assert made.settings["blobs"] == "s3://bucket/prefix"
    assert made.settings["kafka"] == {"security.protocol": "SASL_SSL", "sasl.password": "ssm:/p"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kafka": {"sasl.password": "hunter22"}}, r"kafka\.sasl\.password is a secret"),
        ({"schema_registry": "https://u:hunter22@host"}, "schema_registry is a secret"),
        ({"log": "sqlite:///x/log.db"}, "log is .*can't reach"),
        ({"blobs": "/home/me/blobs"}, "blobs is .*can't reach"),
    ],
)
def test_a_scaler_whose_machines_could_not_work_does_not_start(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as raised:
        boot(scaler({}), OWN.model_copy(update=changes))
    assert "hunter22" not in str(raised.value)


def test_an_agent_serves_the_queues_of_its_resource_and_leaves_without_a_scaler() -> None:
    options = boot(scaler({"default_docker_image": "cuda:12", "agent_options": ["--gpus", "0"]}, slots=2)).options
    assert options == [
        *("--queue", "gpu", "--slots", "2", "--preemptible", "--max-idle-min", "30"),
        *("--docker", "cuda:12", "--gpus", "0"),
    ]


def test_an_agent_gives_what_the_settings_say_its_machine_has_and_shares_out_gpus_that_are_enough() -> None:
    has: dict[str, Any] = {"cpus": 8, "memory_gb": 30.5, "gpus": 4}
    said = boot(scaler({}, slots=2, **has)).options
    assert " ".join(said[2:-3]) == "--slots 2 --cpus 8 --memory-gb 30.5 --gpus 0,1,2,3 --gpus-per-task 2"
    crowded = boot(scaler({"agent_options": ["--gpus", "7"]}, slots=8, **has)).options
    assert " ".join(crowded[2:7]) == "--slots 8 --cpus 8 --memory-gb"
    assert crowded[-2:] == ["--gpus", "7"]


def test_an_agent_that_is_kept_warm_waits_for_a_day() -> None:
    assert boot(scaler({}, minimum=1)).options[-1] == "1440"
