"""The built-in tools: what the model is told of them and which of them an agent has."""
