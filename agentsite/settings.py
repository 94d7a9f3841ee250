"""Django's settings, derived from `conf.Conf`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from agentsite.conf import ROOT, Conf

AGENTSITE = Conf()

DEBUG = AGENTSITE.debug
SECRET_KEY = AGENTSITE.secret_key
BASE_DIR = ROOT

_public = urlsplit(AGENTSITE.public_url)
_secure = _public.scheme == "https"
ALLOWED_HOSTS = [_public.hostname or "localhost", "localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]

INSTALLED_APPS = [
    "agentsite.apps.AgentsiteConfig",
    "agents.apps.AgentsConfig",
    "sessions.apps.SessionsConfig",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "allauth",
    "allauth.account",
    "django_htmx",
    "django_q",
]

MIDDLEWARE = [
    "agents.http.middleware.EnvelopeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "agentsite.security.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "agentsite.urls"
ASGI_APPLICATION = "agentsite.asgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "agentsite.context.site",
            ],
            "builtins": ["agentsite.templatetags.ui"],
        },
    }
]


def _database(url: str) -> dict[str, Any]:
    """SQLite in the state directory, or PostgreSQL where DATABASE_URL says so."""
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": AGENTSITE.home / "agentsite.sqlite3",
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 10,
                "init_command": (
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                    "PRAGMA cache_size=-20000; PRAGMA mmap_size=134217728;"
                ),
            },
        }
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ValueError("DATABASE_URL must begin with postgresql://")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": parts.port or "",
        "OPTIONS": dict(parse_qsl(parts.query)),
        "CONN_HEALTH_CHECKS": True,
        "CONN_MAX_AGE": None,
    }


DATABASES = {"default": _database(AGENTSITE.database_url.get_secret_value())}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [AGENTSITE.bus_url], "prefix": "agentsite"},
    }
}

# Two clusters: turns are hosted in `default`; whatever is a job runs in `jobs`, since q2
# enforces a job's timeout by ending its worker, and every turn hosted there with it.
Q_CLUSTER = {
    "name": "default",
    "orm": "default",
    "workers": AGENTSITE.workers,
    "timeout": 86_400,
    "retry": 90_000,
    "recycle": 1_000_000,
    "poll": 0,  # the broker waits by itself, and can be woken
    "save_limit": -1,
    "catch_up": False,
    "max_attempts": 5,
    "label": "Queue",
    "ALT_CLUSTERS": {
        "jobs": {
            # One builds an image for minutes, and one is left for everything else.
            "workers": 2,
            "timeout": 3_600,
            "retry": 4_000,
            "recycle": 500,
            "ack_failures": True,
        },
    },
}

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_ADAPTER = "agentsite.accounts.InvitedOnly"
ACCOUNT_LOGOUT_ON_GET = False
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

SESSION_COOKIE_AGE = int(timedelta(days=30).total_seconds())
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = _secure
SESSION_COOKIE_NAME = "agentsite"
CSRF_COOKIE_NAME = "agentsite_csrf"
CSRF_COOKIE_SECURE = _secure
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31_536_000 if _secure else 0
SECURE_SSL_REDIRECT = False
# Subdomains and preload lists are not ours to decide; with TLS here there is no plain
# port to redirect from, and behind a proxy the redirect is the proxy's.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]
X_FRAME_OPTIONS = "DENY"
if AGENTSITE.trusted_proxy:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    USE_X_FORWARDED_HOST = True

STATIC_URL = "/static/"
STATIC_ROOT = AGENTSITE.home / "static"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# A body may hold 32 MB: the API refuses more with a 413 of its own.
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 600  # a skill has 500 at most
FILE_UPLOAD_TEMP_DIR = None

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"format": "{levelname} {name}: {message}", "style": "{"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "plain"},
    },
    "root": {"handlers": ["console"], "level": AGENTSITE.log_level},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},
        "anthropic": {"level": "WARNING"},
        "django.channels.server": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
    },
}

UNFOLD = {
    "SITE_TITLE": "Agentsite",
    "SITE_HEADER": "Agentsite",
    "SITE_URL": "/",
    "COLORS": {
        # The pages' teal (tokens.css), from light to dark.
        "primary": {
            "50": "#eef6f6",
            "100": "#d9eceb",
            "200": "#b3d9d7",
            "300": "#84c4c1",
            "400": "#4fa8a5",
            "500": "#1f8585",
            "600": "#0b6e6e",
            "700": "#0a5a5a",
            "800": "#0b4848",
            "900": "#0c3a3a",
            "950": "#062424",
        },
    },
}
