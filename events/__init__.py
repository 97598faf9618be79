"""The contract: event types, their schemas and codec, topics, the message logs, the blob store, settings."""
