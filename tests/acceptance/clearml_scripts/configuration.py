"""Parameters and configurations of every kind, connected, set by hand and read back."""

import json
from enum import Enum
from pathlib import Path

from clearml import Task, TaskTypes


class Activation(Enum):
    relu = "relu"
    tanh = "tanh"


class Constants:
    epochs = 3
    dropout = 0.25
    _private = "not a parameter"


class Network:
    def __init__(self):
        self.layers = [64, 32]
        self.bias = True


def main():
    task = Task.init("examples", "configuration", TaskTypes.training, tags=["config", "test"])

    parameters = {"lr": 0.1, "name": "adam", "warm_up": None, "nested": {"depth": 3, "shape": (1, 2)}}
    parameters = task.connect(parameters)
    parameters["lr"] = 0.2
    parameters["added"] = [1, "two", None]
    task.connect(Constants, name="Constants")
    task.connect(Network(), name="Network")
    task.connect({"activation": Activation.relu}, name="Enums")

    Path("settings.yaml").write_text("a: 1\nb: [1, 2]\n")
    path = task.connect_configuration("settings.yaml", name="settings", description="a file")
    assert Path(path).read_text() == "a: 1\nb: [1, 2]\n"
    config = task.connect_configuration({"encoder": {"size": 128}, "labels": ["x", "y"]}, name="model")
    config["encoder"]["size"] = 256
    task.connect_label_enumeration({"background": 0, "person": 1})

    task.set_parameter("General/by_hand", 5, description="set by hand")
    task.set_parameters_as_dict({"Args": {"seed": 1337, "debug": False}})
    task.update_parameters({"Args/extra": 0.5})
    assert task.get_parameter("Args/seed") == "1337"
    assert task.get_parameter("Args/seed", cast=True) == 1337
    assert task.get_parameters()["General/lr"] == "0.2"
    assert task.get_parameters_as_dict(cast=True)["General"]["nested"]["depth"] == 3
    assert task.delete_parameter("Args/extra")

    task.set_user_properties(backbone="resnet", stable=True)
    task.set_user_properties({"name": "notes", "value": "none", "description": "by hand"})
    task.set_comment("all about parameters")
    task.add_tags(["more"])
    print(json.dumps(task.get_user_properties(value_only=True)))
    task.close()


if __name__ == "__main__":
    main()
