"""Every field that the SDK can send is known to the model that reads it."""

from __future__ import annotations

import pytest
from anthropic import types
from anthropic.types import beta
from anthropic.types.beta import agents, sessions

from agents import environment_params, networking, params
from agents.api.agents import AgentQuery, AgentsQuery
from agents.api.environments import EnvironmentsQuery
from agents.api.files import FilesQuery
from agents.http.query import PageQuery
from sessions.api import params as session_params
from sessions.api.events import EventsQuery
from sessions.api.resources import ResourcesQuery
from sessions.api.sessions import SessionsQuery

HEADERS = {"betas", "workspace_id"}


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (beta.AgentCreateParams, params.AgentCreate),
        (beta.AgentUpdateParams, params.AgentUpdate),
        (beta.AgentListParams, AgentsQuery),
        (beta.AgentRetrieveParams, AgentQuery),
        (agents.VersionListParams, PageQuery),
        (beta.BetaManagedAgentsModelConfigParams, params.ModelConfig),
        (beta.BetaManagedAgentsAgentToolset20260401Params, params.Toolset),
        (beta.BetaManagedAgentsBashToolConfigParams, params.SandboxTool),
        (beta.BetaManagedAgentsWebFetchToolConfigParams, params.WebTool),
        (beta.BetaManagedAgentsWebSearchToolConfigParams, params.WebTool),
        (beta.EnvironmentCreateParams, environment_params.EnvironmentCreate),
        (beta.EnvironmentUpdateParams, environment_params.EnvironmentUpdate),
        (beta.EnvironmentListParams, EnvironmentsQuery),
        (beta.BetaCloudConfigParams, environment_params.Cloud),
        (beta.BetaLimitedNetworkParams, networking.Limited),
        (beta.BetaPackagesParams, environment_params.Packages),
        (beta.SessionCreateParams, session_params.SessionCreate),
        (beta.SessionUpdateParams, session_params.SessionUpdate),
        (beta.BetaManagedAgentsBudgetLimitParam, session_params.BudgetLimit),
        (types.BetaMonetaryAmountParam, session_params.MonetaryAmount),
        (beta.SessionListParams, SessionsQuery),
        (
            beta.BetaManagedAgentsAgentWithOverridesParams,
            session_params.AgentWithOverrides,
        ),
        (beta.BetaManagedAgentsFileResourceParams, session_params.FileResource),
        (sessions.EventListParams, EventsQuery),
        (sessions.EventSendParams, session_params.EventsSend),
        (sessions.ResourceListParams, ResourcesQuery),
        (
            sessions.BetaManagedAgentsUserMessageEventParams,
            session_params.UserMessage,
        ),
        (
            sessions.BetaManagedAgentsUserInterruptEventParams,
            session_params.UserInterrupt,
        ),
        (sessions.BetaManagedAgentsDocumentBlockParam, session_params.DocumentBlock),
        (beta.FileListParams, FilesQuery),
    ],
)
def test_every_field_of_the_sdk_is_known(sent, read):
    assert set(sent.__annotations__) - HEADERS - set(read.model_fields) == set()
