from django.apps import AppConfig


class SessionsConfig(AppConfig):
    name = "sessions"
    # The plain label belongs to django.contrib.sessions.
    label = "agent_sessions"
    verbose_name = "Sessions"
