"""Pages of runs in a real Chromium, started once."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from composite_llm.model.trace import Trace
from tests.support.browser import Tab, chromium, tab
from tests.support.runs_to_show import ALL, LONG, council, mixture

pytestmark = pytest.mark.xdist_group("browser")

ATTACK = (
    '</div></details></main><script>window.hit = 1; alert(1)</script><img src=x onerror="window.hit = 1">'
    "\" onmouseover=\"window.hit = 1\" ' <svg onload='window.hit = 1'> </style><style>*{display:none}</style>"
    "<meta http-equiv=refresh content=0> <base href=http://127.0.0.1:9/> <iframe src=x></iframe> \u202e\x00"
)


@pytest.fixture(scope="module", autouse=True)
def _runs() -> None:
    """Made before a loop runs, since each has a loop of its own, and kept."""
    for told in ALL.values():
        told()


@pytest.fixture(scope="module")
def browser() -> Iterator[str]:
    with chromium() as address:
        yield address


@pytest.fixture
async def page(browser: str) -> AsyncIterator[Tab]:
    async with tab(browser) as made:
        yield made


def written(trace: Trace, folder: Path) -> str:
    path = folder / "run.html"
    trace.to_html(path)
    return path.as_uri()


def attacked(value: Any, attack: str) -> Any:
    if isinstance(value, list):
        return [attacked(inner, attack) for inner in value]
    if isinstance(value, dict):
        return {
            key: inner if key in ("status", "method", "started_at", "kind") else attacked(inner, attack)
            for key, inner in value.items()
        }
    return value + attack if isinstance(value, str) else value


def attacked_trace(told: Callable[[], Trace], attack: str) -> Trace:
    return Trace.model_validate(attacked(told().model_dump(), attack))


def size_of(png: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize("told", ALL.values(), ids=ALL)
async def test_a_page_fits_its_window_in_light_dark_and_narrow(
    told: Callable[[], Trace], page: Tab, tmp_path: Path
) -> None:
    address = written(told(), tmp_path)
    seen = []
    for width, dark in ((1200, False), (1200, True), (400, False)):
        await page.look(width, 900, dark=dark)
        await page.open(address)
        assert await page.value("document.documentElement.scrollWidth") <= width
        shot = await page.screenshot()
        assert size_of(shot) == (width, 900)
        seen.append((shot, await page.value("getComputedStyle(document.body).backgroundColor")))
    assert len({shot for shot, _ in seen}) == 3
    assert len({ground for _, ground in seen}) == 2
    assert page.complaints == []
    assert {asked for asked in page.requests if not asked.startswith("data:")} == {address}


@pytest.mark.parametrize("told", ALL.values(), ids=ALL)
async def test_a_hostile_run_has_the_elements_of_a_harmless_one(
    told: Callable[[], Trace], page: Tab, tmp_path: Path
) -> None:
    counts = []
    for attack in (ATTACK, "x" * len(ATTACK)):
        await page.open(written(attacked_trace(told, attack), tmp_path))
        counts.append(await page.value("document.querySelectorAll('*').length"))
        assert await page.value("window.hit") is None
        assert await page.value("document.images.length + document.querySelectorAll('iframe, base').length") == 0
    assert counts[0] == counts[1]
    assert page.complaints == []


async def test_everything_unfolds_without_scripts(page: Tab, tmp_path: Path) -> None:
    await page.send("Emulation.setScriptExecutionDisabled", value=True)
    await page.look(1200, 900)
    await page.open(written(council(), tmp_path))
    assert await page.value("document.querySelectorAll('button').length") == 0
    folded = await page.value("document.querySelectorAll('details:not([open])').length")
    assert folded > 0
    for _ in range(folded):
        x, y = await page.value(
            """(() => {
                const summary = document.querySelector('details:not([open]) > summary');
                summary.scrollIntoView({block: 'center', behavior: 'instant'});
                const box = summary.getBoundingClientRect();
                return [box.x + 20, box.y + 8];
            })()"""
        )
        await page.click(x, y)
    assert await page.value("document.querySelectorAll('details:not([open])').length") == 0
    texts = await page.value("[...document.querySelectorAll('.text')].map((one) => one.innerText)")
    assert any(LONG.strip() in text for text in texts)


async def test_the_button_unfolds_and_folds_all(page: Tab, tmp_path: Path) -> None:
    await page.open(written(mixture(), tmp_path))
    folded = "document.querySelectorAll('details:not([open])').length"
    everything = await page.value("document.querySelectorAll('details').length")
    assert await page.value(folded) > 0
    await page.value("document.querySelector('button.unfold').click()")
    assert await page.value(folded) == 0
    await page.value("document.querySelector('button.unfold').click()")
    assert await page.value(folded) == everything


async def test_a_printed_page_shows_what_is_folded(page: Tab, tmp_path: Path) -> None:
    await page.send("Emulation.setScriptExecutionDisabled", value=True)
    await page.open(written(mixture(), tmp_path))
    height = "document.querySelector('details:not([open]) > .text').getBoundingClientRect().height"
    await page.look(1200, 900)
    on_screen = await page.value("document.documentElement.scrollHeight")
    await page.look(1200, 900, medium="print")
    assert await page.value(height) > 40
    assert await page.value("document.documentElement.scrollHeight") > on_screen
    assert len((await page.send("Page.printToPDF"))["data"]) > 10_000


async def test_bars_lie_where_their_times_are(page: Tab, tmp_path: Path) -> None:
    await page.look(1200, 900)
    await page.open(written(mixture(), tmp_path))
    lefts = await page.value(
        """Object.fromEntries([...document.querySelectorAll('.waterfall tr.call')].map((row) => {
            const all = row.querySelector('.bars').getBoundingClientRect();
            const one = row.querySelector('.bar, .bracket').getBoundingClientRect();
            return [row.querySelector('.label').innerText, [(one.x - all.x) / all.width, one.width / all.width]];
        }))"""
    )
    for call in mixture().calls:
        start, length = lefts[call.name]
        assert start == pytest.approx(call.start_s / mixture().duration_s, abs=0.01)
        assert length == pytest.approx(call.duration_s / mixture().duration_s, abs=0.01)


async def test_a_notebooks_own_page_keeps_its_looks(page: Tab, tmp_path: Path) -> None:
    looks = (
        "JSON.stringify([...document.querySelectorAll('.own, .own *')]"
        ".map((one) => ({...getComputedStyle(one)})).map(({inlineSize, perspectiveOrigin, transformOrigin, ...rest}) => rest))"
    )
    own = (
        "<!doctype html><body class=own><h1 class=own>Notebook</h1><div class=own><table><caption>c</caption>"
        "<tr><th>a<td class=bar>b</table><details><summary>more</summary><p class=figures>x</p></details></div>"
    )
    seen = []
    for name, content in (("bare", own), ("shown", own + council()._repr_html_())):
        path = tmp_path / f"{name}.html"
        path.write_text(content, encoding="utf-8")
        await page.look(1200, 900)
        await page.open(path.as_uri())
        seen.append(await page.value(looks.replace("'.own, .own *'", "'div.own, div.own *, h1.own'")))
    assert seen[0] == seen[1]
    assert await page.value("document.querySelectorAll('.composite-trace .waterfall').length") == 1
    assert page.complaints == []


async def test_a_narrow_timeline_is_a_table_still(page: Tab, tmp_path: Path) -> None:
    address = written(mixture(), tmp_path)
    roles = []
    for width in (1200, 400):
        await page.look(width, 900)
        await page.open(address)
        nodes = (await page.send("Accessibility.getFullAXTree"))["nodes"]
        roles.append(Counter(node["role"]["value"] for node in nodes if not node["ignored"]))
    for role in ("table", "row", "rowheader", "columnheader", "cell", "heading", "image"):
        assert roles[0][role] == roles[1][role] > 0


JUPYTER = """
<style>
.host:not(.markdown) td, .host:not(.markdown) th, .host:not(.markdown) tr { text-align: right; vertical-align: middle;
  padding: 0.5em; line-height: normal; white-space: normal; max-width: none; border: none; }
.host:not(.markdown) tbody tr:nth-child(odd) { background: rgb(1, 2, 3); }
.host:not(.markdown) tbody tr:nth-child(even) { background: rgb(4, 5, 6); }
.host table { border-collapse: collapse; border: none; font-size: 20px; table-layout: fixed; margin: 0 auto 1em; }
.host h1, .host h2, .host h3, .host h4 { margin: 2em 0 1em; font-weight: 100; color: rgb(7, 8, 9); }
.host p, .host dl, .host ul { margin: 1em 2em; padding: 1em; text-align: right; }
.host code { background: rgb(7, 8, 9); padding: 4px; font-size: 30px; }
.host svg, .host summary { margin: 9px; }
</style>
"""


async def test_a_notebooks_rules_do_not_reach_the_picture(page: Tab, tmp_path: Path) -> None:
    looks = """JSON.stringify([...document.querySelectorAll('.composite-trace *')].map((one) => {
        const style = getComputedStyle(one), box = one.getBoundingClientRect();
        const names = ['textAlign', 'padding', 'margin', 'backgroundColor', 'color', 'fontSize', 'fontWeight',
            'borderTopWidth', 'verticalAlign', 'lineHeight', 'tableLayout'];
        return [one.tagName, one.className.baseVal ?? one.className, box.width, box.height,
            ...names.map((name) => style[name])].join(' ');
    }))"""
    seen = []
    for name, rules in (("bare", ""), ("jupyter", JUPYTER)):
        path = tmp_path / f"{name}.html"
        path.write_text(
            f"<!doctype html>{rules}<body><div class=host>{council()._repr_html_()}</div>", encoding="utf-8"
        )
        await page.look(1200, 900)
        await page.open(path.as_uri())
        seen.append(json.loads(await page.value(looks)))
    differing = [pair for pair in zip(*seen, strict=True) if pair[0] != pair[1]]
    assert differing == []
