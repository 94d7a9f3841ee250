"""Settings of the site that acceptance tests talk to: no bus process is needed."""

from agentsite.settings import *  # noqa: F403

CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
