"""The Avro schemas of all events, generated from the models; released sets never change."""
