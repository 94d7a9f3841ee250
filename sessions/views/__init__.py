"""Pages on sessions: home, list, new, the live timeline."""
