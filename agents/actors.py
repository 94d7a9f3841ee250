"""Who acts: a member in a browser or a program with a key, in one workspace."""

from __future__ import annotations

from dataclasses import dataclass

from agents.errors import Forbidden
from agents.models import Act, ApiKey, Member, Workspace, may


@dataclass(frozen=True, kw_only=True)
class Actor:
    workspace: Workspace
    name: str
    role: str
    user_id: int | None = None
    api_key_id: str | None = None

    @classmethod
    def of_key(cls, key: ApiKey) -> Actor:
        return cls(
            workspace=key.workspace, name=key.name, role=key.role, api_key_id=key.id
        )

    @classmethod
    def of_member(cls, member: Member) -> Actor:
        return cls(
            workspace=member.workspace,
            name=member.user.get_username(),
            role=member.role,
            user_id=member.user_id,
        )

    def may(self, act: Act) -> bool:
        return may(self.role, act)

    def require(self, act: Act) -> None:
        """Let only those pass who may do this.

        Raises:
            Forbidden: the role does not allow it.
        """
        if not self.may(act):
            raise Forbidden(f"{self.name} is {self.role} here and may not {act.value}")
