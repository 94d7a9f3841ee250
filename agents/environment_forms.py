"""The form of an environment: from fields to what the verbs take, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from agents.environment_params import VARIABLE, EnvironmentCreate, EnvironmentUpdate
from agents.forms import LinesField, MetadataField, ParamsForm
from agents.models import Environment
from agents.packages import EXAMPLES, Manager
from sandbox.contents import MANAGERS
from sandbox.spec import Limits

LIMITS = ("cpus", "memory_mb", "pids", "tmp_mb", "command_seconds")
NETWORK_LIMITS = ("allowed_hosts", "allow_package_managers", "allow_mcp_servers")


class VariablesField(forms.CharField):
    """Variables, one a line: `NAME=text`."""

    widget = forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return "\n".join(f"{name}={text}" for name, text in value.items())

    def clean(self, value: Any) -> dict[str, str]:
        lines = [line for line in (value or "").splitlines() if line.strip()]
        return dict(self._pair(line) for line in lines)

    def _pair(self, line: str) -> tuple[str, str]:
        name, equals, text = line.partition("=")
        if not equals or not VARIABLE.fullmatch(name.strip()):
            raise forms.ValidationError(
                f"Write “NAME=text”. This line does not: {line}"
            )
        return name.strip(), text


def _packages(manager: Manager) -> LinesField:
    field = LinesField(label=manager, required=False)
    field.widget.attrs.update(rows=2, placeholder=EXAMPLES[manager][0])
    return field


def _limit(name: str, label: str) -> forms.IntegerField:
    default = getattr(Limits(), name)
    return forms.IntegerField(
        label=label,
        required=False,
        widget=forms.NumberInput(attrs={"placeholder": f"{default:g}", "min": 1}),
    )


class EnvironmentForm(ParamsForm):
    name = forms.CharField(
        max_length=256, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    description = forms.CharField(
        required=False, max_length=2048, widget=forms.Textarea(attrs={"rows": 2})
    )
    apt = _packages("apt")
    npm = _packages("npm")
    pip = _packages("pip")
    cargo = _packages("cargo")
    gem = _packages("gem")
    go = _packages("go")
    setup_script = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={"rows": 4, "class": "mono", "spellcheck": "false"}
        ),
        help_text="Runs once, as root, when the image is built, after the packages; in"
        " bash, unless its first line says otherwise.",
    )
    networking = forms.ChoiceField(
        choices=[("unrestricted", "Unrestricted"), ("limited", "Limited")],
        widget=forms.RadioSelect,
    )
    allowed_hosts = LinesField(
        required=False,
        help_text="One a line. <code>*.example.com</code> stands for every name below"
        " example.com, and not for example.com itself.",
    )
    allow_package_managers = forms.BooleanField(
        label="Public package registries (apt, cargo, gem, go, npm, pip)",
        required=False,
    )
    allow_mcp_servers = forms.BooleanField(
        label="The MCP servers of the agent", required=False
    )
    variables = VariablesField(
        required=False,
        help_text="One “NAME=text” a line, for every process in the sandbox. Not for"
        " secrets: everybody in the workspace reads them.",
    )
    cpus = forms.FloatField(
        label="Processors",
        required=False,
        widget=forms.NumberInput(
            attrs={"placeholder": f"{Limits().cpus:g}", "min": 0.1, "step": 0.1}
        ),
    )
    memory_mb = _limit("memory_mb", "Memory in MB")
    pids = _limit("pids", "Processes")
    tmp_mb = _limit("tmp_mb", "Temporary files in MB")
    command_seconds = _limit("command_seconds", "Seconds per command")
    base_image = forms.CharField(
        required=False,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "off",
                "class": "mono",
                "placeholder": "the site's own",
            }
        ),
        help_text="Another image to build on, which the container engine has or can"
        " fetch: with apt, or with bash and Python 3.11 or newer.",
    )
    root = forms.BooleanField(label="Root in the sandbox", required=False)
    metadata = MetadataField(
        required=False, help_text="For your own programs: one “key: value” a line."
    )

    @classmethod
    def initial_of(cls, environment: Environment) -> dict[str, object]:
        """What the form shows of a stored environment."""
        config = environment.config
        return {
            **config,
            **config.get("packages", {}),
            **config.get("limits", {}),
            **config["networking"],
            "name": environment.name,
            "description": environment.description or "",
            "networking": config["networking"]["type"],
            "metadata": environment.metadata,
        }

    @property
    def packages(self) -> list[forms.BoundField]:
        return [self[name] for name in ("apt", "npm", "pip", "cargo", "gem", "go")]

    @property
    def limits(self) -> list[forms.BoundField]:
        return [self[name] for name in LIMITS]

    @property
    def has_more(self) -> bool:
        """Whether a field that is folded away says something, or is wrong."""
        folded = ("variables", *LIMITS, "base_image", "root", "metadata")
        return any(self[name].value() or self[name].errors for name in folded)

    def to_create(self) -> EnvironmentCreate | None:
        return self.checked(EnvironmentCreate, self._said())

    def to_update(self, before: Mapping[str, str]) -> EnvironmentUpdate | None:
        said = self._said()
        gone = dict.fromkeys(before.keys() - said["metadata"].keys())
        return self.checked(
            EnvironmentUpdate, {**said, "metadata": {**said["metadata"], **gone}}
        )

    def _said(self) -> dict[str, Any]:
        said = self.cleaned_data
        return {
            "name": said["name"],
            "description": said["description"],
            "config": {
                "type": "cloud",
                "networking": self._network(),
                "packages": {name: said[name] for name in MANAGERS},
                "base_image": said["base_image"].strip() or None,
                "setup_script": said["setup_script"].replace("\r\n", "\n") or None,
                "variables": said["variables"],
                "limits": {name: said[name] for name in LIMITS},
                "root": said["root"],
            },
            "metadata": said["metadata"],
        }

    def _network(self) -> dict[str, Any]:
        said = self.cleaned_data
        limited = said["networking"] == "limited"
        return {
            "type": said["networking"],
            **({name: said[name] for name in NETWORK_LIMITS} if limited else {}),
        }
