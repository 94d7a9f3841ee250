"""What a caller may say about agents and environments: strict models of the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from agents.http.validation import Params, Unbuilt, UnbuiltParams, not_yet

MAX_PAIRS, MAX_KEY, MAX_VALUE = 16, 64, 512
MAX_SYSTEM = 100_000
MAX_TOOLS = 128
MAX_SKILLS = 64

TOOLSET = "agent_toolset_20260401"
SANDBOX_TOOLS = ("bash", "read", "write", "edit", "glob", "grep")
WEB_TOOLS = ("web_fetch", "web_search")
EFFORTS = ("low", "medium", "high", "xhigh", "max")


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def check_metadata(metadata: Mapping[str, str | None]) -> None:
    """Hold metadata to the wire's limits.

    Raises:
        ValueError: too many pairs, or one too long.
    """
    if len(metadata) > MAX_PAIRS:
        raise ValueError(f"may hold at most {MAX_PAIRS} pairs")
    for key, value in metadata.items():
        if not 1 <= len(key) <= MAX_KEY:
            raise ValueError(f"keys have 1 to {MAX_KEY} characters: {key[:80]!r}")
        if value is not None and len(value) > MAX_VALUE:
            raise ValueError(f"values have at most {MAX_VALUE} characters: {key!r}")


def _metadata(value: dict[str, str]) -> dict[str, str]:
    check_metadata(value)
    return value


def _empty_for_null(value: object) -> object:
    return {} if value is None else value


Name = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_not_blank)]
Description = Annotated[str, Field(max_length=2048)]
System = Annotated[str, Field(max_length=MAX_SYSTEM)]
Metadata = Annotated[
    dict[str, str], AfterValidator(_metadata), BeforeValidator(_empty_for_null)
]
MetadataPatch = dict[str, str | None]
ModelId = Annotated[
    str, Field(min_length=1, max_length=128), AfterValidator(_not_blank)
]


class Effort(Params):
    type: Literal["low", "medium", "high", "xhigh", "max"]


def _effort(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


class ModelConfig(Params):
    id: ModelId
    effort: Annotated[Effort | None, BeforeValidator(_effort)] = None
    speed: Literal["standard", "fast"] | None = None
    inference_geo: Unbuilt = None

    @field_validator("speed")
    @classmethod
    def _only_standard(cls, value: str | None) -> str | None:
        if value == "fast":
            raise not_yet()
        return value


def _model(value: object) -> object:
    return {"id": value} if isinstance(value, str) else value


Model = Annotated[
    ModelConfig, BeforeValidator(_model, json_schema_input_type=str | ModelConfig)
]


class AlwaysAllow(Params):
    type: Literal["always_allow"]


class AlwaysAsk(Params):
    type: Literal["always_ask"]


class Auto(UnbuiltParams):
    type: Literal["auto"]


Policy = Annotated[AlwaysAllow | AlwaysAsk | Auto, Field(discriminator="type")]


class SandboxTool(Params):
    name: Literal["bash", "read", "write", "edit", "glob", "grep"]
    type: Literal["bash", "read", "write", "edit", "glob", "grep"] | None = None
    enabled: bool | None = None
    permission_policy: Policy | None = None


class WebTool(Params):
    name: Literal["web_fetch", "web_search"]
    type: Literal["web_fetch", "web_search"] | None = None
    enabled: bool | None = None
    permission_policy: Policy | None = None
    allowed_domains: Unbuilt = None
    blocked_domains: Unbuilt = None
    max_content_tokens: Unbuilt = None
    url_sources: Unbuilt = None
    user_location: Unbuilt = None

    @field_validator("enabled")
    @classmethod
    def _only_disabled(cls, value: bool | None) -> bool | None:
        if value:
            raise not_yet()
        return value


ToolConfig = Annotated[SandboxTool | WebTool, Field(discriminator="name")]


class ToolDefaults(Params):
    enabled: bool | None = None
    permission_policy: Policy | None = None


class Toolset(Params):
    type: Literal["agent_toolset_20260401"]
    default_config: ToolDefaults | None = None
    configs: list[ToolConfig] | None = None

    @field_validator("configs")
    @classmethod
    def _each_tool_once(cls, value: list[Any] | None) -> list[Any] | None:
        names = [config.name for config in value or ()]
        if len(names) != len(set(names)):
            raise ValueError("each tool may be configured once")
        for config in value or ():
            if config.type not in {None, config.name}:
                raise ValueError(f"type of {config.name} must be {config.name}")
        return value


class McpToolset(UnbuiltParams):
    type: Literal["mcp_toolset"]


class InputSchema(Params):
    """A JSON Schema of an object; what else it says is the model's to read."""

    model_config = ConfigDict(extra="allow")

    type: Literal["object"]
    properties: dict[str, Any] | None = None
    required: list[str] | None = None

    @model_validator(mode="after")
    def _as_providers_take_it(self) -> Self:
        for word in ("oneOf", "anyOf", "allOf"):
            if word in (self.model_extra or {}):
                raise ValueError(f"{word} may not stand at the top of a schema")
        if _refers(self.model_dump()):
            raise ValueError("a schema may not hold $ref: write out what it stands for")
        for name in self.properties or ():
            if not 1 <= len(name) <= 64:
                raise ValueError("the name of a property has 1 to 64 characters")
        return self


def _refers(schema: Any) -> bool:
    match schema:
        case dict():
            return "$ref" in schema or any(map(_refers, schema.values()))
        case list():
            return any(map(_refers, schema))
    return False


class CustomTool(Params):
    type: Literal["custom"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
    description: Annotated[str, Field(min_length=1, max_length=10_000)]
    input_schema: InputSchema

    @field_validator("name")
    @classmethod
    def _not_of_a_server(cls, value: str) -> str:
        if value.startswith("mcp__"):
            raise ValueError("names that begin with mcp__ are those of MCP servers")
        return value


Tool = Annotated[Toolset | McpToolset | CustomTool, Field(discriminator="type")]


def _each_once(value: list[Any] | None) -> list[Any] | None:
    """One toolset, and no two tools of one name."""
    toolsets = [tool for tool in value or () if isinstance(tool, Toolset)]
    if len(toolsets) > 1:
        raise ValueError("agent_toolset_20260401 may be given once")
    names = [tool.name for tool in value or () if isinstance(tool, CustomTool)]
    taken = (*SANDBOX_TOOLS, *WEB_TOOLS)
    for name in names:
        if names.count(name) > 1 or name in taken:
            raise ValueError(f"the name of the tool {name} is taken")
    return value


Tools = Annotated[
    list[Tool] | None, Field(max_length=MAX_TOOLS), AfterValidator(_each_once)
]


class ServiceAccount(Params):
    type: Literal["service_account"]


class AwsRole(UnbuiltParams):
    type: Literal["aws_role"]


ExecutionIdentity = Annotated[ServiceAccount | AwsRole, Field(discriminator="type")]


class SkillRef(Params):
    type: Literal["custom"]
    skill_id: Annotated[str, Field(min_length=1, max_length=64)]
    version: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class PrebuiltSkill(UnbuiltParams):
    type: Literal["anthropic"]


def _skills_once(value: list[Any] | None) -> list[Any] | None:
    ids = [ref.skill_id for ref in value or ()]
    for id in ids:
        if ids.count(id) > 1:
            raise ValueError(f"{id} is named twice")
    return value


Skills = Annotated[
    list[Annotated[SkillRef | PrebuiltSkill, Field(discriminator="type")]] | None,
    Field(max_length=MAX_SKILLS),
    AfterValidator(_skills_once),
]


class AgentCreate(Params):
    model: Model
    name: Name
    description: Description | None = None
    system: System | None = None
    tools: Tools = None
    metadata: Metadata = Field(default_factory=dict)
    execution_identity: ExecutionIdentity | None = None
    mcp_servers: Unbuilt = None
    skills: Skills = None
    multiagent: Unbuilt = None


class AgentUpdate(Params):
    """Each field that is given changes; what is absent stays."""

    model: Model | None = None
    name: Name | None = None
    description: Description | None = None
    system: System | None = None
    tools: Tools = None
    metadata: MetadataPatch | None = None
    execution_identity: ExecutionIdentity | None = None
    mcp_servers: Unbuilt = None
    skills: Skills = None
    multiagent: Unbuilt = None
    version: Annotated[int, Field(ge=1)] | None = None

    @field_validator("model", "name", "version")
    @classmethod
    def _cannot_be_cleared(cls, value: object) -> object:
        if value is None:
            raise ValueError("cannot be null: leave it out to keep it")
        return value


class AgentOverrides(Params):
    """What one session does otherwise than its agent."""

    model: Model | None = None
    system: System | None = None
    tools: Tools = None
    mcp_servers: Unbuilt = None
    skills: Skills = None

    @field_validator("model")
    @classmethod
    def _model_required(cls, value: object) -> object:
        if value is None:
            raise ValueError("agent_model_required: an agent needs a model")
        return value
