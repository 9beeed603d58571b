"""Every endpoint of the OpenAPI document, asked what it allows and what it forbids: all checks of schemathesis."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.pytest.lazy import get_all_tests

from pylon.interfaces.api_server import openapi
from tests.acceptance.support import new_world, served

CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {
            # A condition may be well-formed and still ask the impossible (a field of another type, from after to):
            # what OpenAPI cannot say is refused with 422, as documented.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409", "422", "503"]},
        },
    }
)
EXAMPLES = settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
OPERATIONS = [(method, path) for path, methods in openapi()["paths"].items() for method in methods]


@pytest.fixture(scope="module")
def asked(cluster, template, api) -> Iterator[httpx2.Client]:
    with new_world(cluster, template, "acceptance_schemathesis", api, grid="simulated") as world:
        world.run()
        with served(world.runtime()) as client:
            yield client


@pytest.fixture(scope="module")
def document() -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_dict(openapi(), config=CONFIG)


# Not `document.parametrize()`: that makes thousands of cases in each worker while it collects, and gives all tests
# one name, of which the workers then run one.
@pytest.mark.filterwarnings("ignore:Skipped test cases with unsupported payload media types")  # Parquet
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[f"{method} {path}" for method, path in OPERATIONS])
def test_it_is_as_its_document_says(
    method: str, path: str, document: schemathesis.BaseSchema, asked: httpx2.Client
) -> None:
    one = document.include(method=method, path=path)
    (found,) = get_all_tests(schema=one, test_func=_is_as_it_says, settings=EXAMPLES, given_kwargs={})
    _, ask = found.ok()
    ask(asked=asked)


def _is_as_it_says(case: schemathesis.Case, asked: httpx2.Client) -> None:
    case.call_and_validate(base_url=str(asked.base_url).rstrip("/"))
