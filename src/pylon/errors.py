"""The one error tree: every failure Pylon reports, with its code, its HTTP status and what to do next.

    PylonError
    ├── SourceError         SourceUnavailable · SourceChanged
    ├── StoreError          StoreUnavailable · ServerUnavailable · SchemaMismatch · LeaseHeld · LeaseLost
    ├── DecisionError
    └── RequestError        NotFound · Conflict · Refused · Forbidden · Invalid · TooCostly

A message names what was wrong, what is valid and what to do next. The class docstring is the default message.
The HTTP status is data here; only `pylon.interfaces` sends it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

__all__ = [
    "Conflict",
    "DecisionError",
    "Forbidden",
    "Invalid",
    "LeaseHeld",
    "LeaseLost",
    "NotFound",
    "PylonError",
    "Refused",
    "RequestError",
    "SchemaMismatch",
    "ServerUnavailable",
    "SourceChanged",
    "SourceError",
    "SourceUnavailable",
    "StoreError",
    "StoreUnavailable",
    "TooCostly",
    "why_invalid",
]


class PylonError(Exception):
    """Pylon could not do what was asked."""

    code: ClassVar[str] = "pylon_error"
    status: ClassVar[int] = 500

    def __init__(self, detail: str | None = None, /, **extra: Any) -> None:
        """Carry `detail` (the class docstring when none is given) and any machine-readable facts in `extra`."""
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.extra = extra
        super().__init__(self.detail)

    @property
    def title(self) -> str:
        """The class docstring: the same for every instance, so a reader can look it up."""
        return (type(self).__doc__ or "").strip().splitlines()[0]

    def problem(self) -> dict[str, Any]:
        """Return the error as an RFC 9457 problem document (`type`, `title`, `status`, `detail`, `code`)."""
        return {
            "type": f"urn:pylon:error:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.extra,
        }


class SourceError(PylonError):
    """A data source could not be used."""

    code = "source_error"
    status = 502


class SourceUnavailable(SourceError):
    """A data source did not answer in time, or answered with a failure."""

    code = "source_unavailable"
    status = 503


class SourceChanged(SourceError):
    """A data source answered in a shape that is not the documented one."""

    code = "source_changed"


class StoreError(PylonError):
    """The database could not do what was asked."""

    code = "store_error"


class StoreUnavailable(StoreError):
    """The database cannot be reached."""

    code = "store_unavailable"
    status = 503


class ServerUnavailable(StoreUnavailable):
    """The embedded PostgreSQL server did not start."""

    code = "server_unavailable"


class SchemaMismatch(StoreError):
    """The database's schema is not the one this version of Pylon needs."""

    code = "schema_mismatch"
    status = 503


class LeaseHeld(StoreError):
    """Another process is doing this work now."""

    code = "lease_held"
    status = 409


class LeaseLost(StoreError):
    """This process lost its lease while it worked, so nothing was written."""

    code = "lease_lost"
    status = 409


class DecisionError(PylonError):
    """No decision could be made."""

    code = "decision_error"
    status = 422


class RequestError(PylonError):
    """The request could not be served."""

    code = "request_error"
    status = 400


class NotFound(RequestError):
    """There is no such thing here."""

    code = "not_found"
    status = 404


class Conflict(RequestError):
    """The request conflicts with how things are now."""

    code = "conflict"
    status = 409


class Refused(RequestError):
    """The state of things does not allow this action; nothing was changed."""

    code = "refused"
    status = 409

    @classmethod
    def because(cls, code: str, detail: str, /, **about: Any) -> Refused:
        """Return the refusal for one reason: the criterion's code, what is wrong and what to do, and the facts."""
        return cls(detail, refusals=[{"code": code, "detail": detail, **about}])

    @property
    def refusals(self) -> list[dict[str, Any]]:
        """Every reason: `code` (a criterion of the action), `detail`, and the facts it is about."""
        return list(self.extra.get("refusals", ()))


class Forbidden(RequestError):
    """This is not allowed."""

    code = "forbidden"
    status = 403


class Invalid(RequestError):
    """The request is not valid."""

    code = "invalid"
    status = 422


class TooCostly(RequestError):
    """The question would take the database too long."""

    code = "too_costly"
    status = 422


_NUMBER: Final = "must be a number"
_WHOLE: Final = "must be a whole number"
_TEXT: Final = "must be text"
_YES_OR_NO: Final = "must be true or false"
_ADDRESS: Final = "must be an address, such as https://example.org"
_ID: Final = "must be an id (a UUID)"

_WHYS: Final[Mapping[str, str | Callable[[Mapping[str, Any]], str]]] = {
    "missing": "is required",
    "extra_forbidden": "is not known here",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "decimal_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": _YES_OR_NO,
    "bool_parsing": _YES_OR_NO,
    "string_type": _TEXT,
    "string_unicode": _TEXT,
    "uuid_type": _ID,
    "uuid_parsing": _ID,
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "enum": lambda of: f"must be {_unquoted(of['expected'])}",
    "literal_error": lambda of: f"must be {_unquoted(of['expected'])}",
    "greater_than": lambda of: f"must be more than {of['gt']}",
    "greater_than_equal": lambda of: f"must be {of['ge']} or more",
    "less_than": lambda of: f"must be less than {of['lt']}",
    "less_than_equal": lambda of: f"must be {of['le']} or less",
    "string_too_short": lambda of: f"must have at least {_count(of['min_length'], 'character')}",
    "string_too_long": lambda of: f"must have at most {_count(of['max_length'], 'character')}",
    "too_short": lambda of: f"must have at least {_count(of['min_length'], 'item')}",
    "url_type": _ADDRESS,
    "url_parsing": _ADDRESS,
    "url_scheme": lambda of: f"must begin with {_unquoted(of['expected_schemes'])}, as https://example.org does",
    "too_long": lambda of: f"must have at most {_count(of['max_length'], 'item')}",
}
_SHOULD: Final = re.compile(r"^(Input|Value|String|List|Dictionary) should")


def why_invalid(fault: Mapping[str, Any]) -> str:
    """Return why a value is not valid, as what it must be, from one fault of a pydantic `ValidationError`.

    `fault` has the `type`, the `msg` and the `ctx` that pydantic gives it; messages of our own come out unchanged.
    """
    why = _WHYS.get(fault["type"])
    if why is None:
        return _SHOULD.sub("must", fault["msg"].removeprefix("Value error, "))
    return why if isinstance(why, str) else why(fault["ctx"])


def _unquoted(expected: str) -> str:
    return expected.replace("'", "")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
