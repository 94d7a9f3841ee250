"""Pages on agents, environments, keys and workspaces."""
