"""Arguments of a parser: those given, those by default, and those of a parser that was used before `Task.init`."""

import argparse

from clearml import Task


def main():
    early = argparse.ArgumentParser(add_help=False)
    early.add_argument("--early", default="before init")
    early.parse_known_args()

    task = Task.init(project_name="examples", task_name="arguments")

    parser = argparse.ArgumentParser(description="trains")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="input batch size")
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--no-cuda", action="store_true", default=False)
    parser.add_argument("--layers", type=int, nargs="+", default=[64, 32])
    parser.add_argument("--name", default=None)
    parser.add_argument("--mode", choices=["fast", "slow"], default="fast")
    parser.add_argument("--early", default="before init")
    args = parser.parse_args()

    task.connect({"momentum": 0.9}, name="Optimizer")
    print("batch size", args.batch_size, "lr", args.lr, "layers", args.layers)


if __name__ == "__main__":
    main()
