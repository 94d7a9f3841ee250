"""Sandboxes without a container engine: bubblewrap, started by a small one of our own."""
