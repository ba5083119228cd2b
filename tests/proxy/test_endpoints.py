"""Every endpoint of the proxy, with the official clients."""

from __future__ import annotations

from fake_server import ThreadedServer
from tests.support.proxies import Proxy

QUESTION = [{"role": "user", "content": "Which bridge is the oldest?"}]


def test_a_chat_completion_has_content_reasoning_and_the_usage_of_the_whole_run(
    proxy: Proxy, upstream: ThreadedServer
) -> None:
    response = proxy.openai().chat.completions.create(model="team-moa", messages=QUESTION)
    assert response.choices[0].message.content
    assert response.usage is not None
    assert response.usage.total_tokens == sum(record.usage["total_tokens"] for record in upstream.ledger.records)
    print(response)
