"""The reference pages."""

from __future__ import annotations

import re

import pytest

from pylon.derive import docs
from pylon.errors import Conflict, NotFound, PylonError
from pylon.ontology import columns
from pylon.ontology.actions import ACTIONS
from pylon.ontology.catalogue import LINKS, ROWS
from pylon.settings import Settings

PAGES = docs.pages([PylonError, NotFound, Conflict])
EVERY = {**PAGES, "api.md": docs.api({"paths": {}})}


@pytest.mark.parametrize("name", EVERY)
def test_every_page_is_headed_has_one_title_and_ends_in_a_line(name: str) -> None:
    text = EVERY[name]
    assert text.startswith(docs.HEAD + "\n\n# ")
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize("name", EVERY)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(name: str) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", EVERY[name], re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block


@pytest.mark.parametrize("name", EVERY)
def test_every_link_within_the_pages_leads_somewhere(name: str) -> None:
    anchors = {
        (page, re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-"))
        for page, text in EVERY.items()
        for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    for page, anchor in re.findall(r"\]\(([\w-]+\.md)?(?:#([\w-]+))?\)", EVERY[name]):
        if page:
            assert page in EVERY
        if anchor:
            assert (page or name, anchor) in anchors


def test_every_column_of_every_row_is_described() -> None:
    for name, row in ROWS.items():
        page = PAGES["object-types.md"] + PAGES["records.md"]
        (section,) = re.findall(rf"^##+ {name}\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
        assert f"Table `{row.table.name}`" in section
        for spec in columns.of(row):
            assert f"| `{spec.name}` |" in section
            assert spec.doc.replace("|", "\\|") in section


def test_a_column_shows_its_unit_range_and_default() -> None:
    line = next(
        line for line in PAGES["object-types.md"].splitlines() if line.startswith("| `efficiency_percentage`")
    )
    assert line == (
        "| `efficiency_percentage` | numeric(5,2) | % | > 0, ≤ 100 | "
        "Round-trip efficiency: energy out / energy in. Default `85`. |"
    )


def test_every_link_is_listed() -> None:
    for link in LINKS:
        assert f"| `{link.name}` | {link.source} | {link.target} | {link.doc} |" in PAGES["links.md"]


def test_every_action_is_listed_with_its_parameters_criteria_and_decisions() -> None:
    page = PAGES["actions.md"]
    for name, action in ACTIONS.items():
        (section,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
        assert all(f"| `{parameter}` |" in section for parameter in action.parameters.model_fields)
        assert all(f"- `{criterion.code}`: {criterion.doc}." in section for criterion in action.criteria)
        assert all(f"`{decision.value}`" in section for decision in action.decisions)
    assert "| `carbon_cap_gco2` | integer, ≥ 0, ≤ 10,000 or null | gCO2/kWh | `null` |" in page
    assert "| `urgency` | `WorkloadUrgency` |  | unchanged |" in page


def test_every_setting_is_listed_with_its_variables_and_never_a_value_of_this_machine() -> None:
    page = PAGES["settings.md"]
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == len(Settings.model_fields)
    assert "| `DATABASE_URL`, `SUPABASE_DB_URL` | text, secret | unset |" in page
    assert "| `PYLON_PORT` | whole number, ≥ 0, ≤ 65,535 | `8000` |" in page
    assert str(Settings.model_fields["home"].get_default(call_default_factory=True)) + "`" not in page


def test_errors_are_sorted_by_status() -> None:
    codes = re.findall(r"^\| `(\w+)` \| (\d+)", PAGES["errors.md"], re.MULTILINE)
    assert codes == [("not_found", "404"), ("conflict", "409"), ("pylon_error", "500")]


def test_an_endpoint_says_its_parameters_and_answers() -> None:
    document = {
        "paths": {
            "/things": {
                "get": {
                    "description": "Return things.",
                    "parameters": [
                        {
                            "name": "hours",
                            "in": "query",
                            "description": "How far",
                            "schema": {"type": "integer", "minimum": 1, "maximum": 48, "default": 48},
                        },
                        {"name": "kind", "in": "query", "required": True, "schema": {"enum": ["a", "b"]}},
                    ],
                    "responses": {
                        "200": {
                            "content": {
                                "application/json": {
                                    "schema": {
                                        "type": "array",
                                        "items": {
                                            "anyOf": [{"$ref": "#/components/schemas/Thing"}, {"type": "null"}]
                                        },
                                    }
                                }
                            }
                        },
                        "304": {"description": "Not modified"},
                    },
                },
                "post": {
                    "description": "Add a thing.",
                    "requestBody": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
                    },
                    "responses": {"201": {"description": "Made"}},
                },
            }
        }
    }
    text = docs.api(document)
    for part in (
        "## `GET /things`\n\nReturn things.",
        "| `hours` | query | integer, ≥ 1, ≤ 48 | `48` | How far |",
        "| `kind` | query | `a`, `b` | required |  |",
        "- **200**: list of `Thing` or null as `application/json`",
        "- **304**: Not modified",
        "## `POST /things`\n\nAdd a thing.\n\nBody: `Thing` as `application/json`",
    ):
        assert part in text
