"""A deterministic server that speaks the providers' wire formats over HTTP, for tests and benchmarks.

Start it with ``python -m fake_server --port 0`` (the first line on stdout is its address), inside a coroutine with
``async with running(...) as server``, or from plain code with ``with running_in_thread(...) as server``. All
three answer the same way; see :mod:`fake_server.running` for what ``server`` offers.

Without a scenario a model answers from the request alone: the text is made from the model's name, a digest of the
request (model, messages, tools, response_format, seed, temperature and the number of the choice) and the first words
of the last user message. When the current turn (all after the last assistant message) names labels such as
``Response A`` and it, or a system message, has the word "ranking", the answer is a JSON ballot over these labels
instead. Tokens are ``ceil(characters / 4)``, never 0. Ids count up from 1; ``created`` is a constant.

Formats, plain and streamed, with tools, thinking, usage and each provider's own errors:

    OpenAI                ``/v1/chat/completions``, ``/v1/models``; see ``served_by`` for servers that follow it
    OpenAI's Responses    ``/v1/responses``
    Anthropic             ``/v1/messages``, ``/v1/messages/count_tokens``
    Gemini                ``/v1beta/models/<model>:generateContent``, ``:streamGenerateContent``, ``:countTokens``
    Ollama                ``/api/chat``, ``/api/generate``, ``/api/show``, ``/api/tags``, ``/api/version``
    Hugging Face          ``/<provider>/v1/chat/completions``, as its router has them

What Anthropic, Gemini and Ollama refuse by their documentation (a request without ``max_tokens``, a tool call without its
result, an unknown field, a list where a text is wanted) is refused always.

Scenarios: a mapping of model name (or glob pattern; an exact name wins, then the pattern with most literal
characters, ``*`` last) to a mapping with any of these keys. An unknown key is an error.

Time
    ``latency_s``             seconds before anything is answered, errors included
    ``first_token_s``         streams: seconds between the headers and the first chunk
    ``time_per_token_s``      streams: pause before each further token; plain answers: added per completion token
    ``hang``                  never answers
    ``hang_after_chunks``     streams: falls silent after that many chunks

Content (``{model}``, ``{last_user}``, ``{digest}`` and ``{n}``, the number of the choice from 1, are filled in)
    ``text``                  the text of every choice
    ``texts``                 handed out in turn, one for each choice of each request of a model, then from the start
    ``reasoning``             ``reasoning_content``; it counts against the token limit before the text does
    ``reasoning_field``       ``reasoning``: the name that OpenRouter and newer vLLM servers give it
    ``thinking_signature``    the signature of the reasoning; chat completions then have ``thinking_blocks``, as gateways
                              in front of Claude do; in Responses it is the ``encrypted_content``
    ``redacted_thinking``     the data of a block of thinking that is not shown
    ``tool_calls``            list of ``{name, arguments (object, or a raw string sent as it is), id, signature}``; the
                              signature is Gemini's, beside ``function`` in ``extra_content``
    ``refusal``               sent as ``refusal`` with ``content: null``
    ``blank``                 the content is an empty string
    ``finish_reason``         ``stop``, ``length``, ``content_filter`` or ``tool_calls``, instead of the true one
    ``logprobs``              ``true``: always sent, ``false``: never; without the key: when asked for
    ``usage``                 overrides any of ``prompt_tokens``, ``completion_tokens``, ``cached_tokens``,
                              ``cache_creation_tokens``, ``reasoning_tokens``, ``audio_tokens`` (of the prompt),
                              ``completion_audio_tokens``; ``cost`` is added: what the server says that it cost
    ``no_usage``              usage is not sent (the ledger still has it)
    ``null_usage``            ``"usage": null`` is sent
    ``headers``               further response headers
    ``raw_body``              the body of a plain answer as it stands, JSON escapes included; streams get it too, unless
                              there are ``raw_events``
    ``raw_events``            streams: the data of each event as it stands; the end mark follows

    Half a surrogate pair in a text leaves the server as its JSON escape, so that clients read it as it was.

Servers
    ``served_by``             chat completions as ``vllm``, ``llama_cpp``, ``lm_studio``, ``huggingface``, ``openrouter``,
                              ``google`` or ``mistral`` serves them: the form of errors, plain and in a stream, and what
                              else is its own
    ``show``                  ``{latency_s, status, context_length, capabilities}``: what Ollama's ``/api/show`` answers

Strictness
    ``rules``                 list of what the model refuses; a 400 in its provider's own words and shape:

                              ``deepseek_reasoning``      an assistant message with tool calls, of any turn, without (or
                                                          with blank) ``reasoning_content``
                              ``kimi_reasoning``          the same, unless ``thinking`` is ``disabled``
                              ``anthropic_signatures``    thinking is on, and an assistant message with tool use after the
                                                          last question does not begin with thinking; a signature that
                                                          this server never gave, or not for this text (in chat
                                                          completions: of ``thinking_blocks``)
                              ``gemini_signatures``       the first call of a step of the running turn without its thought
                                                          signature, or with one that this server never gave
                              ``system_first``            ``system`` or ``developer`` anywhere but first (Qwen)
                              ``one_system_message``      more than one of them (MiniMax)
                              ``no_system``               any of them (Gemma 2)
                              ``no_developer``            the role ``developer`` (Qwen)
                              ``alternate``               user and assistant do not take turns behind a system message
                                                          (Gemma 3)
                              ``alternate_except_tools``  the same, tool calls and results left out (Mistral)
                              ``last_user``               the last message is neither a user's nor a tool's (Mistral)
                              ``no_images``, ``no_audio``, ``no_files``   a part of that kind (OpenAI)
                              ``no_tool_images``          a picture in a message that is no user's (OpenAI)
                              ``string_content``          a list of parts (DeepSeek)
                              ``clean_text``              half a surrogate pair, or NUL, anywhere (Anthropic)
                              ``tool_pairs``              a tool call without its result, or the other way round (OpenAI)
                              ``no_tools``                tools (vLLM without a parser)
                              ``no_response_format``      ``json_object`` and ``json_schema`` (DeepSeek's words)
                              ``no_json_schema``          ``json_schema`` (DeepSeek)
                              ``one_choice``              ``n`` above 1 (llama.cpp)
                              ``known_parameters``        a parameter that OpenAI does not document

    ``context_window``        ``{tokens, factor, wording}``: a 400 above so many tokens, counted here times ``factor`` (1),
                              in the words of the format and ``served_by``, or of ``wording``: ``openai``, ``vllm``,
                              ``llama_cpp``, ``lm_studio``, ``anthropic`` or ``gemini``; the list of models says the window
                              where these servers do

Faults
    ``error``                 ``{status, message, code, type, param, retry_after, context_window, body}``;
                              ``context_window: true`` is OpenAI's context_length_exceeded, ``body`` is sent as it stands
    ``error_rate``, ``seed``  the share of requests that get ``error`` (a 500 without one), decided by a digest of seed,
                              model and number of the request
    ``drop``                  closes the connection: ``before`` the response, after its ``headers``, in the middle of
                              its ``body``, or ``mid_stream`` after ``drop_after_chunks`` (1) chunks; of the last two
                              the one that fits the kind of answer is done
    ``error_after_chunks``    streams: the ``error`` comes after that many chunks, in the form that the server has for it
    ``malformed_json``        the body, or the second chunk of a stream, is cut JSON in a well-formed response

Streams
    ``ignore_stream``                 plain JSON although a stream was asked for
    ``chunk_chars``                   characters of text for each delta (4: one token), or a list of such numbers, which
                                      take turns
    ``tool_argument_chars``           characters of tool arguments for each delta (16)
    ``interleaved_tool_deltas``       the deltas of several tool calls take turns
    ``usage_on_last_content_chunk``   the last content, ``finish_reason`` and usage share one chunk, asked for or not
    ``empty_first_chunk``             a chunk with ``choices: []`` comes first
    ``split_utf8``                    TCP segments end inside multi-byte characters (plain answers too)
    ``comment_keepalive``             an SSE comment before every chunk

Choice of scenario (but for ``says``, a chosen scenario stands alone: it takes nothing from the one that holds it)
    ``by_content``            list of ``{contains, then}``; the first whose text occurs in the messages is used; when
                              none does, the other keys count
    ``sequence``              list of scenarios for consecutive requests of a model, the last repeats; beside it only
                              ``by_content`` is allowed, which goes first
    ``says``                  list of scenarios for consecutive answers of a model, the last repeats; each takes what it
                              does not say itself from the one that holds it. What ``rules`` and ``context_window``, which
                              belong beside it, refuse is no answer and is not counted

Over HTTP: ``PUT /scenarios/<model>``, ``GET`` and ``DELETE /scenarios``, ``DELETE /scenarios/<model>``,
``GET`` and ``DELETE /ledger``, ``GET /health``, ``GET /stats``. These need no key and are not in the ledger.
"""

from fake_server.ledger import Ledger, Record
from fake_server.running import RunningServer, ThreadedServer, running, running_in_thread
from fake_server.scenario import Scenario, ScenarioError, parse_scenario, parse_scenarios

__all__ = [
    "Ledger",
    "Record",
    "RunningServer",
    "Scenario",
    "ScenarioError",
    "ThreadedServer",
    "parse_scenario",
    "parse_scenarios",
    "running",
    "running_in_thread",
]
