from django.apps import AppConfig


class SessionsConfig(AppConfig):
    name = "sessions"
    # The plain label belongs to django.contrib.sessions.
    label = "agent_sessions"
    verbose_name = "Sessions"

    def ready(self) -> None:
        from agents import images
        from sessions import builds

        images.wanted.connect(builds.ask_for_a_builder)
