"""What a caller may say about sessions and their events: strict models of the wire."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from agents.http.validation import Params, Unbuilt, UnbuiltParams
from agents.params import AgentOverrides, Metadata, MetadataPatch, Tools
from sandbox.spec import HOME, SKILLS, UPLOADS, WORKSPACE
from sessions.resources import MOST as MOST_RESOURCES
from sessions.resources import checked_branch, checked_url

MAX_INITIAL_EVENTS = 50
MAX_INITIAL_DOCUMENTS = 100
MAX_EVENTS = 1000
MAX_DENIAL = 10_000
MAX_RESULT = 100_000
MAX_IMAGE = 5 << 20  # a larger one is refused by models, and would spoil each turn
MOUNTABLE = (UPLOADS, WORKSPACE, HOME, "/tmp")  # noqa: S108 - inside a sandbox

Id = Annotated[str, Field(min_length=1, max_length=64)]
Version = Annotated[int, Field(ge=1)]


def _decodes(data: str) -> str:
    # A block that no model can read would spoil every later turn of the session.
    try:
        base64.b64decode(data, validate=True)
    except (ValueError, binascii.Error):
        raise ValueError("is not valid base64") from None
    return data


class Base64Source(Params):
    type: Literal["base64"]
    media_type: Annotated[str, Field(min_length=1, max_length=255)]
    data: Annotated[str, Field(min_length=1), AfterValidator(_decodes)]


class UrlSource(Params):
    type: Literal["url"]
    url: Annotated[str, Field(min_length=1, max_length=8192, pattern=r"^https?://")]


class FileSource(Params):
    type: Literal["file"]
    file_id: Id


class PlainTextSource(Params):
    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: Annotated[str, Field(min_length=1)]


class TextBlock(Params):
    type: Literal["text"]
    text: Annotated[str, Field(min_length=1)]


class ImageBlock(Params):
    type: Literal["image"]
    source: Annotated[
        Base64Source | UrlSource | FileSource, Field(discriminator="type")
    ]

    @field_validator("source")
    @classmethod
    def _is_small_enough(cls, value: Any) -> Any:
        if isinstance(value, Base64Source) and len(value.data) * 3 // 4 > MAX_IMAGE:
            raise ValueError(f"a picture may have {MAX_IMAGE >> 20} MB")
        return value


class DocumentBlock(Params):
    type: Literal["document"]
    source: Annotated[
        Base64Source | PlainTextSource | UrlSource | FileSource,
        Field(discriminator="type"),
    ]
    title: str | None = None
    context: str | None = None


class RedactedBlock(Params):
    type: Literal["redacted"]

    @field_validator("type")
    @classmethod
    def _only_answered(cls, value: str) -> str:
        raise ValueError("redacted blocks are only answered, never sent")


Block = Annotated[
    TextBlock | ImageBlock | DocumentBlock | RedactedBlock, Field(discriminator="type")
]


class UserMessage(Params):
    type: Literal["user.message"]
    content: Annotated[list[Block], Field(min_length=1, max_length=1000)]


class UserInterrupt(Params):
    type: Literal["user.interrupt"]
    session_thread_id: Id | None = None


class ToolConfirmation(Params):
    type: Literal["user.tool_confirmation"]
    tool_use_id: Id
    result: Literal["allow", "deny"]
    deny_message: Annotated[str, Field(max_length=MAX_DENIAL)] | None = None

    @model_validator(mode="after")
    def _says_why_of_a_denial_only(self) -> ToolConfirmation:
        if self.deny_message is not None and self.result != "deny":
            raise ValueError("deny_message belongs to the result deny")
        return self


class SearchResultText(Params):
    type: Literal["text"]
    text: Annotated[str, Field(min_length=1)]


class Citations(Params):
    enabled: bool


class SearchResultBlock(Params):
    type: Literal["search_result"]
    source: Annotated[str, Field(min_length=1, max_length=8192)]
    title: Annotated[str, Field(max_length=1024)]
    content: Annotated[list[SearchResultText], Field(min_length=1, max_length=1000)]
    citations: Citations | None = None


ResultBlock = Annotated[
    TextBlock | ImageBlock | DocumentBlock | SearchResultBlock,
    Field(discriminator="type"),
]


def _texts(block: Block | SearchResultBlock) -> list[str]:
    """What of a block the model reads word by word."""
    match block:
        case TextBlock(text=text):
            return [text]
        case SearchResultBlock(content=content):
            return [each.text for each in content]
        case DocumentBlock(source=PlainTextSource(data=text)):
            return [text]
    return []


class CustomToolResult(Params):
    type: Literal["user.custom_tool_result"]
    custom_tool_use_id: Id
    content: Annotated[list[ResultBlock], Field(max_length=1000)] | None = None
    is_error: bool | None = None

    @field_validator("content")
    @classmethod
    def _fits(cls, value: list[Any] | None) -> list[Any] | None:
        length = sum(len(text) for block in value or () for text in _texts(block))
        if length > MAX_RESULT:
            raise ValueError(
                f"holds {length} characters of text, and a result may hold"
                f" {MAX_RESULT}: upload the rest as a file and name it here"
            )
        return value


class ToolResult(UnbuiltParams):
    type: Literal["user.tool_result"]


class DefineOutcome(UnbuiltParams):
    type: Literal["user.define_outcome"]


class SystemMessage(Params):
    type: Literal["system.message"]
    content: Annotated[list[TextBlock], Field(min_length=1, max_length=1000)]


ClientEvent = Annotated[
    UserMessage
    | UserInterrupt
    | ToolConfirmation
    | CustomToolResult
    | ToolResult
    | DefineOutcome
    | SystemMessage,
    Field(discriminator="type"),
]
ACCOMPANIED = (UserMessage, CustomToolResult, ToolResult)
InitialEvent = Annotated[UserMessage | DefineOutcome, Field(discriminator="type")]


class EventsSend(Params):
    events: Annotated[list[ClientEvent], Field(min_length=1, max_length=MAX_EVENTS)]

    @field_validator("events")
    @classmethod
    def _system_text_last(cls, value: list[Any]) -> list[Any]:
        """It accompanies the event before it."""
        for at, event in enumerate(value):
            if not isinstance(event, SystemMessage):
                continue
            if at != len(value) - 1:
                raise ValueError(
                    "system.message must be the last event, and the only one"
                )
            if not at or not isinstance(value[at - 1], ACCOMPANIED):
                raise ValueError(
                    "system.message must directly follow a user.message or a result"
                )
        return value


class AgentReference(Params):
    type: Literal["agent"]
    id: Id
    version: Version | None = None


class AgentWithOverrides(AgentOverrides):
    type: Literal["agent_with_overrides"]
    id: Id
    version: Version | None = None

    def overrides(self) -> dict[str, Any]:
        """Only what was given, without the reference itself."""
        return self.model_dump(
            mode="json", exclude_unset=True, exclude={"type", "id", "version"}
        )


def _reference(value: object) -> object:
    return {"type": "agent", "id": value} if isinstance(value, str) else value


AgentChoice = Annotated[
    Annotated[AgentReference | AgentWithOverrides, Field(discriminator="type")],
    BeforeValidator(
        _reference, json_schema_input_type=str | AgentReference | AgentWithOverrides
    ),
]


def _mountable(path: str) -> str:
    spelled = PurePosixPath(path)
    roots = [root for root in MOUNTABLE if spelled.is_relative_to(root)]
    if not roots or str(spelled) in MOUNTABLE or str(spelled) != path:
        raise ValueError(f"must be a plain path below {', '.join(MOUNTABLE)}")
    if ".." in spelled.parts:
        raise ValueError("must not contain '..'")
    if not path.isprintable() or any(len(part) > 255 for part in spelled.parts):
        raise ValueError("must be of printable characters, 255 at most in each part")
    return path


MountPath = Annotated[str, Field(max_length=1024), AfterValidator(_mountable)]


class FileResource(Params):
    type: Literal["file"]
    file_id: Id
    mount_path: MountPath | None = None


class ResourceAdd(FileResource):
    """What may be added to a session that is there."""

    @field_validator("type", mode="before")
    @classmethod
    def _only_files(cls, value: object) -> object:
        if value in ("github_repository", "memory_store"):
            raise ValueError(
                f"a {value} is named when a session is created; only files are added"
                " to one later"
            )
        return value


def _in_workspace(path: str) -> str:
    if not PurePosixPath(path).is_relative_to(WORKSPACE) or path == SKILLS:
        raise ValueError(f"must be below {WORKSPACE}, and not {SKILLS}")
    return path


class BranchCheckout(Params):
    type: Literal["branch"]
    name: Annotated[str, AfterValidator(checked_branch)]


class CommitCheckout(Params):
    type: Literal["commit"]
    sha: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")]


class GithubRepository(Params):
    """On any host that speaks Git over https."""

    type: Literal["github_repository"]
    url: Annotated[str, Field(max_length=2048), AfterValidator(checked_url)]
    checkout: (
        Annotated[BranchCheckout | CommitCheckout, Field(discriminator="type")] | None
    ) = None
    mount_path: Annotated[MountPath, AfterValidator(_in_workspace)] | None = None
    authorization_token: Unbuilt = None


class MemoryStore(UnbuiltParams):
    type: Literal["memory_store"]


Resource = Annotated[
    FileResource | GithubRepository | MemoryStore, Field(discriminator="type")
]
Title = Annotated[str, Field(max_length=512)]


def _whole_cents(amount: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,14}", amount):
        raise ValueError(
            'must be whole cents above zero, without leading zeros: "2500" is $25.00'
        )
    return amount


class MonetaryAmount(Params):
    amount: Annotated[str, AfterValidator(_whole_cents)]
    currency: Literal["USD"]


class BudgetLimit(Params):
    type: Literal["limit"]
    max_list_cost: MonetaryAmount

    @property
    def cents(self) -> int:
        return int(self.max_list_cost.amount)


class SessionCreate(Params):
    agent: AgentChoice
    environment_id: Id
    title: Title | None = None
    metadata: Metadata = Field(default_factory=dict)
    resources: Annotated[list[Resource], Field(max_length=MOST_RESOURCES)] | None = None
    initial_events: (
        Annotated[list[InitialEvent], Field(max_length=MAX_INITIAL_EVENTS)] | None
    ) = None
    vault_ids: Unbuilt = None
    budget: BudgetLimit | None = None
    max_model_requests: Annotated[int, Field(ge=1, le=1_000_000)] | None = None

    @field_validator("initial_events")
    @classmethod
    def _few_documents(cls, value: list[Any] | None) -> list[Any] | None:
        named = sum(
            isinstance(block, DocumentBlock) and isinstance(block.source, FileSource)
            for event in value or ()
            for block in event.content
        )
        if named > MAX_INITIAL_DOCUMENTS:
            raise ValueError(
                f"hold {named} documents by file_id, and {MAX_INITIAL_DOCUMENTS} may be"
            )
        return value


class AgentChange(Params):
    tools: Tools = None
    mcp_servers: Unbuilt = None


class SessionUpdate(Params):
    """Each field that is given changes; what is absent stays."""

    agent: AgentChange | None = None
    title: Title | None = None
    metadata: MetadataPatch | None = None
    budget: BudgetLimit | None = None
    vault_ids: Unbuilt = None
