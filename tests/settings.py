"""Settings for tests: a state directory of their own, an in-memory bus."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_home = tempfile.mkdtemp(prefix="agentsite-test-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["AGENTSITE_HOME"] = _home
Path(_home, "static").mkdir()  # WhiteNoise warns where it is missing
os.environ["AGENTSITE_RUNTIME_DIR"] = f"{_home}/run"
os.environ["ANTHROPIC_API_KEY"] = ""
os.environ["ANTHROPIC_BASE_URL"] = "http://127.0.0.1:9"

from agentsite.settings import *  # noqa: E402, F403

CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # A file, not memory: hosts and streams read from threads of their own.
    DATABASES["default"]["TEST"] = {"NAME": f"{_home}/test.sqlite3"}  # noqa: F405
