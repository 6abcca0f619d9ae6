"""Requests that schemathesis makes of the OpenAPI description: every answer is one that was described."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
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


def test_every_answer_is_as_described(served: Any) -> None:
    described = schemathesis.openapi.from_url(f"{served.url}/openapi.json").exclude(path="/api/index", method="POST")
    asked = set()
    for found in described.get_all_operations():
        assert isinstance(found, Ok)

        @given(case=found.ok().as_strategy())
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        )
        def attempt(case: Any) -> None:
            asked.add(f"{case.method} {case.operation.path}")
            case.call_and_validate(checks=CHECKS)

        attempt()
    assert len(asked) == 15, sorted(asked)
