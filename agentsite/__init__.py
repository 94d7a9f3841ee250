"""The composition: settings, addresses, the supervisor, health and static files."""

__version__ = "0.1.0"
