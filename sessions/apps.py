from django.apps import AppConfig


class SessionsConfig(AppConfig):
    name = "sessions"
    # The plain label belongs to django.contrib.sessions.
    label = "agent_sessions"
    verbose_name = "Sessions"

    def ready(self) -> None:
        from agents import images

        images.wanted.connect(build_images)


def build_images(**_: object) -> None:
    """Have a job look for queued builds."""
    # Not before it is needed: every process has these apps, and few build images.
    from sessions import builds

    builds.ask_for_a_builder()
