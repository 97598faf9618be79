"""Count primes: a second of work for a task of an example."""

from tasktape import Task


def is_prime(number: int) -> bool:
    """Whether nothing divides it but itself and one."""
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def main() -> None:
    """Count, and report how many there are."""
    task = Task.init(project_name="examples", task_name="count primes")
    settings = task.connect({"below": 200_000})
    count = sum(map(is_prime, range(settings["below"])))
    task.get_logger().report_single_value("primes", count)
    print(f"{count:,} primes below {settings['below']:,}")


if __name__ == "__main__":
    main()
