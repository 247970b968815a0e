"""Models behind OpenAI-compatible endpoints: the client, the model, its answers."""
