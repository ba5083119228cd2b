"""The routes of the server, and the runner that serves them."""

from collections.abc import Iterator

from aiohttp import web

from fake_server.answering import answering
from fake_server.control import control_routes
from fake_server.counting import count_anthropic_tokens, count_gemini_tokens
from fake_server.formats import ANTHROPIC, GEMINI, OLLAMA_CHAT, OLLAMA_GENERATE, OPENAI, RESPONSES
from fake_server.formats.ollama_models import list_tags, show_model, tell_version
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
            *_openai_routes(state),
            *_anthropic_routes(state),
            *_gemini_routes(state),
            *_ollama_routes(state),
            *control_routes(state, lambda: open_connections(runner)),
            web.route("*", "/{path:.*}", recorded(state, no_such_path)),
        ]
    )
    return runner


def open_connections(runner: web.AppRunner) -> int:
    """Return how many connections are open, idle ones included."""
    return len(runner.server.connections) if runner.server else 0


def _openai_routes(state: State) -> Iterator[web.RouteDef]:
    chat = recorded(state, answering(OPENAI))
    yield web.post("/v1/chat/completions", chat)
    yield web.route("*", "/v1/chat/completions", recorded(state, no_such_method))
    yield web.post("/v1/responses", recorded(state, answering(RESPONSES), RESPONSES))
    yield web.get("/v1/models", recorded(state, list_models))
    yield web.route("*", "/v1/models", recorded(state, no_such_method))
    # Hugging Face's router has a path for each of the providers behind it.
    yield web.post("/{provider}/v1/chat/completions", chat)


def _anthropic_routes(state: State) -> Iterator[web.RouteDef]:
    yield web.post("/v1/messages", recorded(state, answering(ANTHROPIC), ANTHROPIC))
    yield web.post("/v1/messages/count_tokens", recorded(state, count_anthropic_tokens, ANTHROPIC))


def _gemini_routes(state: State) -> Iterator[web.RouteDef]:
    model = "/{version:v1|v1beta}/models/{model:.+}"
    path = model + ":{method:generateContent|streamGenerateContent}"
    yield web.post(path, recorded(state, answering(GEMINI), GEMINI))
    yield web.post(f"{model}:countTokens", recorded(state, count_gemini_tokens, GEMINI))


def _ollama_routes(state: State) -> Iterator[web.RouteDef]:
    yield web.post("/api/chat", recorded(state, answering(OLLAMA_CHAT), OLLAMA_CHAT))
    yield web.post("/api/generate", recorded(state, answering(OLLAMA_GENERATE), OLLAMA_GENERATE))
    yield web.post("/api/show", recorded(state, show_model, OLLAMA_CHAT))
    yield web.get("/api/tags", recorded(state, list_tags, OLLAMA_CHAT))
    yield web.get("/api/version", recorded(state, tell_version, OLLAMA_CHAT))
