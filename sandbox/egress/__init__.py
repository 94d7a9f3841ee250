"""The only way out of a sandbox: a proxy that checks, forwards and records."""
