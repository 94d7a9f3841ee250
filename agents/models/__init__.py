"""The rows that say what may run, and for whom."""

from agents.models.agent import Agent, AgentVersion
from agents.models.environment import Environment
from agents.models.environment_image import BuildStatus, EnvironmentImage
from agents.models.file import File
from agents.models.idempotency import IdempotentAnswer
from agents.models.login_token import LoginToken
from agents.models.model_alias import ModelAlias
from agents.models.price import ModelPrice, UnitPrice
from agents.models.skill import Skill, SkillVersion
from agents.models.workspace import Act, ApiKey, Member, Role, Workspace, may

__all__ = [
    "Act",
    "Agent",
    "AgentVersion",
    "ApiKey",
    "BuildStatus",
    "Environment",
    "EnvironmentImage",
    "File",
    "IdempotentAnswer",
    "LoginToken",
    "Member",
    "ModelAlias",
    "ModelPrice",
    "Role",
    "Skill",
    "SkillVersion",
    "UnitPrice",
    "Workspace",
    "may",
]
