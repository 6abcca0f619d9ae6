"""Requests that schemathesis makes of the OpenAPI description: every answer is one that was described."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
EXAMPLES = 15


@pytest.fixture(scope="session")
def described(served: Any) -> Any:
    return schemathesis.openapi.from_url(f"{served.url}/openapi.json").exclude(path="/api/index", method="POST")


schema = schemathesis.pytest.from_fixture("described")
asked: set[str] = set()


@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
def test_every_answer_is_as_described(case: Any) -> None:
    asked.add(f"{case.method} {case.operation.path}")
    case.call_and_validate(checks=CHECKS)


def test_every_way_was_tried() -> None:
    assert len(asked) == 15, sorted(asked)
