"""The native harness: turns model replies into tool calls until a turn has its ending."""
