"""The endpoints that steer and watch the server; they need no key and leave no record."""

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from fake_server.errors import error_body
from fake_server.responses import json_response
from fake_server.scenario import ScenarioError, parse_scenario
from fake_server.state import State

ConnectionCount = Callable[[], int]


def control_routes(state: State, connections: ConnectionCount) -> list[web.RouteDef]:
    """Return the routes of all control endpoints."""
    control = _Control(state, connections)
    return [
        web.get("/health", control.health),
        web.get("/stats", control.stats),
        web.get("/ledger", control.ledger),
        web.delete("/ledger", control.clear_ledger),
        web.get("/scenarios", control.scenarios),
        web.delete("/scenarios", control.reset_scenarios),
        web.put("/scenarios/{model:.+}", control.set_scenario),
        web.delete("/scenarios/{model:.+}", control.remove_scenario),
    ]


def stats(state: State, connections: ConnectionCount) -> dict[str, Any]:
    """Return the figures of a server."""
    return {
        "requests": len(state.ledger.records),
        "open_requests": state.ledger.open_requests,
        "max_in_flight": state.ledger.max_in_flight,
        "open_connections": connections(),
    }


class _Control:
    def __init__(self, state: State, connections: ConnectionCount) -> None:
        self._state = state
        self._connections = connections

    async def health(self, _http: web.Request) -> web.Response:
        return json_response({"status": "ok"})

    async def stats(self, _http: web.Request) -> web.Response:
        return json_response(stats(self._state, self._connections))

    async def ledger(self, _http: web.Request) -> web.Response:
        return json_response(self._state.ledger.as_list())

    async def clear_ledger(self, _http: web.Request) -> web.Response:
        self._state.ledger.clear()
        return json_response([])

    async def scenarios(self, _http: web.Request) -> web.Response:
        return json_response(self._state.book.dump())

    async def reset_scenarios(self, _http: web.Request) -> web.Response:
        self._state.book.reset()
        return json_response(self._state.book.dump())

    async def set_scenario(self, http: web.Request) -> web.Response:
        model = http.match_info["model"]
        try:
            scenario = parse_scenario(json.loads(await http.read()), model)
        except ScenarioError as error:
            return json_response(error_body(400, str(error), code="invalid_scenario"), status=400)
        except (ValueError, RecursionError):
            return json_response(error_body(400, "The body is not JSON.", code="invalid_scenario"), status=400)
        self._state.book.set(model, scenario)
        return json_response({model: scenario.model_dump(exclude_unset=True)})

    async def remove_scenario(self, http: web.Request) -> web.Response:
        model = http.match_info["model"]
        if self._state.book.remove(model):
            return json_response(self._state.book.dump())
        return json_response(error_body(404, f"no scenario for {model}", code="no_such_scenario"), status=404)
