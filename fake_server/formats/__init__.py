"""The wire formats that the server speaks; each turns its own requests into one form, and answers back into its own."""

from fake_server.formats.anthropic import AnthropicFormat
from fake_server.formats.format import Format
from fake_server.formats.gemini import GeminiFormat
from fake_server.formats.ollama import OllamaChatFormat, OllamaGenerateFormat
from fake_server.formats.responses_api import ResponsesFormat
from fake_server.formats.servers import ChatCompletions

ANTHROPIC: Format = AnthropicFormat()
GEMINI: Format = GeminiFormat()
OLLAMA_CHAT: Format = OllamaChatFormat()
OLLAMA_GENERATE: Format = OllamaGenerateFormat()
OPENAI: Format = ChatCompletions()
RESPONSES: Format = ResponsesFormat()

__all__ = ["ANTHROPIC", "GEMINI", "OLLAMA_CHAT", "OLLAMA_GENERATE", "OPENAI", "RESPONSES", "Format"]
