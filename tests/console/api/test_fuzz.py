"""The API from its own document: whatever is sent, it never breaks, and what it answers is what the document says."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from callboard.operations import Who, accounts, runs
from tests.console.api.caller import add_team, session_headers
from tests.console.kit import add_user

if TYPE_CHECKING:
    from console.server import ConsoleServer

#: `FUZZ_EXAMPLES=500 pytest --timeout 3600 tests/console/api/test_fuzz.py` looks harder.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "6"))
# Who may ask is the permission matrix's to hold, and this session is not in the document; a request that fits the
# document may make no sense all the same: a filter with an unknown key, a silence that is over.
_NOT_MEANT = [ignored_auth, positive_data_acceptance]
# It never ends.
_LEFT_OUT = ("/v1/stream",)


class Fuzz:
    """Asks one operation after the other, as an admin who is signed in."""

    def __init__(self, session: requests.Session) -> None:
        self._session = session
        self.answers: Counter[tuple[str, int]] = Counter()

    def findings(self, operation: Any) -> str:  # noqa: ANN401 - schemathesis's
        """What is wrong with the answers of one operation; empty if nothing is."""

        @given(case=operation.as_strategy())
        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def ask(case: schemathesis.Case) -> None:
            case.headers.pop("Authorization", None)  # a made-up key would only ever be refused
            answer = case.call_and_validate(session=self._session, timeout=20, excluded_checks=_NOT_MEANT)
            self.answers[operation.method.upper(), answer.status_code // 100] += 1

        try:
            ask()
        except BaseException as error:  # noqa: BLE001 - a group of schemathesis's findings
            found = getattr(error, "exceptions", (error,))
            return f"{operation.label}:\n" + "\n".join(str(one)[:1500] for one in found)
        return ""


def test_no_fault_and_no_breach(server: ConsoleServer) -> None:
    owner = add_user("admin")
    accounts.set_password(owner, "one that is not guessed", who=Who("test"))  # a new one would end the session
    team = add_team("ours", owner=owner)
    runs.trigger("sync_project", {"project_id": team.project}, who=Who("test"))
    schema = schemathesis.openapi.from_url(f"{server.url}/v1/openapi.json")
    operations = [one for result in schema.get_all_operations() if (one := result.ok()).path not in _LEFT_OUT]

    with requests.Session() as session:
        session.headers.update(session_headers(owner))
        fuzz = Fuzz(session)
        wrong = [told for one in operations if (told := fuzz.findings(one))]

    assert not wrong, f"{len(wrong)} operations:\n" + "\n\n".join(wrong)
    assert len(operations) > 70
    assert fuzz.answers["GET", 2] > fuzz.answers["GET", 5] == fuzz.answers["POST", 5] == 0, fuzz.answers
