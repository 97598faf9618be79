"""Machines that come when work waits and go when it doesn't."""
