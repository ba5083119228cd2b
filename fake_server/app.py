"""The routes of the server, and the runner that serves them."""

from aiohttp import web

from fake_server.chat import answer_chat
from fake_server.control import control_routes
from fake_server.models import list_models
from fake_server.recorded import no_such_method, no_such_path, recorded
from fake_server.state import State

_MAX_BODY_BYTES = 256 * 1024 * 1024
# aiohttp waits this long for open requests, twice; it takes 0 for "for ever".
_SHUTDOWN_S = 0.01


def make_runner(state: State) -> web.AppRunner:
    """Return the runner of a server, not yet set up."""
    app = web.Application(client_max_size=_MAX_BODY_BYTES)

    async def note_closing(_app: web.Application) -> None:
        state.closing = True

    app.on_shutdown.append(note_closing)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S)
    app.add_routes(
        [
            web.post("/v1/chat/completions", recorded(state, answer_chat)),
            web.route("*", "/v1/chat/completions", recorded(state, no_such_method)),
            web.get("/v1/models", recorded(state, list_models)),
            web.route("*", "/v1/models", recorded(state, no_such_method)),
            *control_routes(state, lambda: open_connections(runner)),
            web.route("*", "/{path:.*}", recorded(state, no_such_path)),
        ]
    )
    return runner


def open_connections(runner: web.AppRunner) -> int:
    """Return how many connections are open, idle ones included."""
    return len(runner.server.connections) if runner.server else 0
