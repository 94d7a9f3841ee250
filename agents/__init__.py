"""What may run, and for whom: workspaces, keys, agents, environments, files."""
