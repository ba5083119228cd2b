"""The viewer over the loopback, beside a store that is being written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from composite_llm.observe.store import TraceStore
from composite_llm.observe.store.store_observer import StoreObserver
from composite_llm.observe.telemetry_settings import Privacy, TelemetrySettings
from composite_llm.viewer.server import serving
from tests.support.browser import chromium, tab
from tests.support.html_outline import outline
from tests.support.runs_to_show import ALL, mixture
from tests.support.telling import a_trace, info, tell, tell_call

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module", autouse=True)
def _runs() -> None:
    """Made before a loop runs, since each has a loop of its own, and kept."""
    for told in ALL.values():
        told()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "traces.db"


def writer(path: Path, privacy: Privacy = "full") -> StoreObserver:
    return StoreObserver(TelemetrySettings(path=path, privacy=privacy))


@asynccontextmanager
async def client(path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(TraceStore(path), "127.0.0.1", 0) as address, aiohttp.ClientSession(address) as session:
        yield session


async def test_the_list_shows_runs_and_each_leads_to_its_page(path: Path) -> None:
    observer = writer(path)
    told = tell(observer, mixture(), {"user_id": "ada"}, messages=[{"role": "user", "content": "Why blue?"}])
    assert observer.flush()
    async with client(path) as session:
        listed = await (await session.get("/")).text()
        assert f'href="/runs/{told.id}"' in listed
        assert "Why blue?" in listed
        for name in (told.id, told.id[:6]):
            answer = await session.get(f"/runs/{name}")
            assert answer.status == 200
            assert answer.content_type == "text/html"
            text = outline(await answer.text()).text
            for part in ("the slow one", "User ada", "Why blue?", "hedge", "fallback_used"):
                assert part in text
    observer.close()


async def test_filters_and_pages_choose_among_the_runs(path: Path) -> None:
    observer = writer(path)
    for number in range(60):
        tell(observer, a_trace(id=f"run{number:02}"), {"user_id": "ada" if number % 2 else "bob", "project": "p"})
    assert observer.flush()
    async with client(path) as session:

        async def rows(address: str) -> int:
            answer = await session.get(address)
            return sum(tag.startswith("a href='/runs/") for tag in outline(await answer.text()).tags)

        assert [await rows(page) for page in ("/", "/?page=2", "/?page=3")] == [50, 10, 0]
        assert await rows("/?user=ada&project=p&status=ok&since=24h&model=gpt-4o") == 30
        assert await rows("/?status=failed") == 0
        assert await rows("/?user='; DROP TABLE runs; --") == 0
        assert await rows("/?user=%00%ff&since=never&page=-3") == 0
        assert await rows("/") == 50
    observer.close()


async def test_in_metadata_mode_the_page_says_that_no_texts_were_kept(path: Path) -> None:
    observer = writer(path, "metadata")
    told = tell(observer, mixture(), messages=[{"role": "user", "content": "Why blue?"}])
    assert observer.flush()
    async with client(path) as session:
        html = await (await session.get(f"/runs/{told.id}")).text()
        assert "privacy: metadata" in html
        assert "Not kept." in html
        assert "packages with narrow interfaces" not in html
        assert "Why blue?" not in html
    observer.close()


async def test_only_names_of_this_machine_are_answered(path: Path) -> None:
    async with client(path) as session:
        for host, status in (("evil.example", 403), ("localhost:1", 503), ("127.0.0.1", 503), ("", 403)):
            answer = await session.get("/", headers={"Host": host})
            assert answer.status == status
            assert "composite" not in await answer.text() or status == 503


async def test_what_is_not_there_is_a_404_and_nothing_can_be_written(path: Path) -> None:
    observer = writer(path)
    told = tell(observer, a_trace())
    assert observer.flush()
    async with client(path) as session:
        for address in ("/nothing", "/runs/", "/runs/zzz", "/runs/%2e%2e%2fetc", "/runs/x<script>"):
            answer = await session.get(address)
            assert answer.status == 404
            assert "<script>x" not in await answer.text()
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            for address in ("/", f"/runs/{told.id}"):
                answer = await session.request(method, address)
                assert answer.status == 405
                assert answer.headers["Allow"] == "GET,HEAD"
        assert (await session.get(f"/runs/{told.id}")).status == 200
        assert [run.id for run in TraceStore(path).runs()] == [told.id]
    observer.close()


async def test_a_head_request_gets_the_headers_alone(path: Path) -> None:
    observer = writer(path)
    tell(observer, a_trace())
    assert observer.flush()
    async with client(path) as session:
        whole, head = await session.get("/"), await session.head("/")
        assert head.status == 200
        assert await head.read() == b""
        assert head.headers["Content-Length"] == whole.headers["Content-Length"]
    observer.close()


async def test_every_answer_has_the_headers_that_keep_others_out(path: Path) -> None:
    async with client(path) as session:
        for address, host in (("/", "localhost"), ("/nothing", "localhost"), ("/", "evil.example")):
            answer = await session.get(address, headers={"Host": host})
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_page_that_has_not_changed_is_not_sent_again(path: Path) -> None:
    observer = writer(path)
    tell(observer, a_trace())
    assert observer.flush()
    async with client(path) as session:
        tag = (await session.get("/")).headers["ETag"]
        assert (await session.get("/", headers={"If-None-Match": tag})).status == 304
        tell(observer, a_trace())
        assert observer.flush()
        assert (await session.get("/", headers={"If-None-Match": tag})).status == 200
    observer.close()


async def test_a_store_that_is_not_there_yet_is_said_and_found_when_it_comes(path: Path) -> None:
    async with client(path) as session:
        answer = await session.get("/")
        assert answer.status == 503
        assert "there is no such file" in await answer.text()
        observer = writer(path)
        tell(observer, a_trace())
        assert observer.flush()
        assert (await session.get("/")).status == 200
    observer.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[str]:
    with chromium() as address:
        yield address


def once(condition: str) -> str:
    """A promise of the page, kept as soon as a condition holds on it."""
    return (
        f"new Promise((done) => {{ const look = () => {condition} && done(); look();"
        " new MutationObserver(look).observe(document, {childList: true, subtree: true}); })"
    )


async def test_a_run_under_way_is_followed_in_the_browser(path: Path, browser: str) -> None:
    observer = writer(path)
    told = mixture()
    run = info(told)
    observer.run_started(run)
    tell_call(observer, run, told.calls[0])
    assert observer.flush()
    async with serving(TraceStore(path), "127.0.0.1", 0) as address, tab(browser) as page:
        await page.look(1200, 900)
        await page.open(f"{address}runs/{told.id}")
        assert "patient" not in await page.value("document.querySelector('main').innerText")
        await page.value("document.querySelector('.unfolds').open = !document.querySelector('.unfolds').open")
        unfolded = await page.value("document.querySelector('.unfolds').open")
        for call in told.calls[1:]:
            tell_call(observer, run, call)
        observer.run_ended(run, told)
        assert observer.flush()
        await page.value(once("document.querySelector('main').innerText.includes('with an answer')"))
        assert "patient" in await page.value("document.querySelector('main').innerText")
        assert await page.value("document.querySelector('.unfolds').open") == unfolded
        assert await page.value("document.querySelectorAll('[data-live]').length") == 0
        assert await page.value("document.querySelectorAll('button.unfold').length") == 1

        await page.open(address)
        assert await page.value("document.querySelectorAll('tbody tr').length") == 1
        tell(observer, a_trace())
        assert observer.flush()
        await page.value(once("document.querySelectorAll('tbody tr').length == 2"))
        for width in (1200, 400):
            await page.look(width, 900)
            assert await page.value("document.documentElement.scrollWidth") <= width
        assert page.complaints == []
    observer.close()


async def test_a_browser_that_waits_for_the_first_run_sees_it(path: Path, browser: str) -> None:
    async with serving(TraceStore(path), "127.0.0.1", 0) as address, tab(browser) as page:
        await page.open(address)
        assert "there is no such file" in await page.value("document.querySelector('main').innerText")
        page.events.clear()
        observer = writer(path)
        tell(observer, a_trace())
        assert observer.flush()
        await page.loaded()
        assert await page.value("document.querySelectorAll('tbody tr').length") == 1
    observer.close()
