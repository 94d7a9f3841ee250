"""Reading query parameters: known ones are checked, unknown ones ignored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from django.http import QueryDict
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from agents.errors import InvalidRequest
from agents.http.validation import sentence

Query = TypeVar("Query", bound=BaseModel)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Moment = Annotated[datetime, AfterValidator(_aware)]
Order = Literal["asc", "desc"]


class QueryParams(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class PageQuery(QueryParams):
    limit: int = Field(20, ge=1, le=100)
    page: str | None = None

    def filters(self) -> dict[str, Any]:
        """What a cursor is tied to: everything but where and how much."""
        return self.model_dump(mode="json", exclude={"page", "limit"})


class CreatedQuery(PageQuery):
    """A list that can be narrowed by time."""

    created_at_gt: Moment | None = Field(None, alias="created_at[gt]")
    created_at_gte: Moment | None = Field(None, alias="created_at[gte]")
    created_at_lt: Moment | None = Field(None, alias="created_at[lt]")
    created_at_lte: Moment | None = Field(None, alias="created_at[lte]")

    def moments(self) -> dict[str, datetime]:
        """The limits that were given, by lookup: `gt`, `gte`, `lt`, `lte`."""
        found = {
            lookup: getattr(self, f"created_at_{lookup}")
            for lookup in ("gt", "gte", "lt", "lte")
        }
        return {lookup: moment for lookup, moment in found.items() if moment}


def read_query(model: type[Query], sent: QueryDict) -> Query:
    """Return the checked parameters.

    Raises:
        InvalidRequest: one of them is wrong.
    """
    values = _values(model, sent)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InvalidRequest(sentence(error, values)) from None


def _values(model: type[BaseModel], sent: QueryDict) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        spelled = field.alias or name
        # Lists come as `x[]=a&x[]=b` from the SDKs and as `x=a&x=b` from people.
        items = [*sent.getlist(f"{spelled}[]"), *sent.getlist(spelled)]
        if not items or items == [""]:
            continue
        values[spelled] = items if _is_list(field.annotation) else items[-1]
    return values


def _is_list(annotation: Any) -> bool:
    kinds = (annotation, *get_args(annotation))
    return any(get_origin(kind) is list for kind in kinds)
