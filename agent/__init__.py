"""The agent: claims queue entries by the log, runs their tasks, and watches the other workers."""
