"""The core of tasks that run other tasks: they decide from their own events and their children's, and survive."""
