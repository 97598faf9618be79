"""tasktape."""
