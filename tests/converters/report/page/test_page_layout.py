"""The page's layout: labels that do not cover each other, and nothing cut off at any width."""

from __future__ import annotations

import functools
import http.server
import itertools
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S
from tiny_mission import MISSION, write_mission

from converters.conversion.convert import convert
from converters.report.page.label_layout import GLYPH, LINE, places
from converters.report.page.narrow_tables import with_column_titles
from edge.contract.mission.loading import load_mission

WIDE, HIGH, SIZE = 640.0, 384.0, 14.0
side = st.floats(0.0, 1.0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(side, side, side, side, st.text("abcdefgh", max_size=30)), max_size=40))
def test_labels_never_cover_each_other_nor_leave_the_picture(
    given: list[tuple[float, float, float, float, str]],
) -> None:
    boxes = [
        ((x * WIDE, y * HIGH, (x + w) * WIDE, (y + h) * HIGH), text) for x, y, w, h, text in given
    ]
    found = places(boxes, size=SIZE, width=WIDE, height=HIGH)
    assert len(found) == len(boxes)
    areas = []
    for (_, text), place in zip(boxes, found, strict=True):
        if place is None:
            continue
        top = place.baseline + 0.25 * SIZE - LINE * SIZE
        area = (place.x, top, place.x + GLYPH * SIZE * len(text), top + LINE * SIZE)
        assert area[0] >= 0.0
        assert area[1] >= -1e-6
        assert area[2] <= WIDE
        assert area[3] <= HIGH + 1e-6
        areas.append(area)
    for a, b in itertools.combinations(areas, 2):
        apart = a[2] <= b[0] + 1e-6 or b[2] <= a[0] + 1e-6
        assert apart or a[3] <= b[1] + 1e-6 or b[3] <= a[1] + 1e-6


def test_boxes_on_one_spot_all_get_a_place_while_there_is_room() -> None:
    boxes = [((300.0, 180.0, 330.0, 220.0), f"car 0.{index}") for index in range(8)]
    found = places(boxes, size=SIZE, width=WIDE, height=HIGH)
    assert None not in found
    assert len(set(found)) == 8
    assert places(boxes, size=SIZE, width=30.0, height=HIGH) == [None] * 8


def test_each_cell_knows_the_title_of_its_column() -> None:
    page = (
        "<!doctype html><style>td > b {}</style><table><thead><tr><th>rule &amp; <b>why</b></th>"
        '<th colspan="1">n</th></tr></thead><tbody><tr><th scope="row">a</th><td class="num">1</td>'
        "</tr></tbody></table><table><tbody><tr><td>x &lt; y</td></tr></tbody></table><br>"
    )
    titled = with_column_titles(page)
    assert '<th data-title="rule &amp; why" scope="row">a</th>' in titled
    assert '<td data-title="n" class="num">1</td>' in titled
    assert "<td>x &lt; y</td>" in titled
    assert re.sub(r' data-title="[^"]*"', "", titled) == page


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A report of long names, served on this machine beside a page that measures it."""
    folder = tmp_path_factory.mktemp("layout")
    write_mission(folder)
    text = MISSION.replace("pedestrian in the corridor", "a pedestrian_who_stands " * 6)
    (folder / "mission.toml").write_text(text)
    convert(load_mission(folder / "mission.toml"), folder / "out", progress=lambda *_: None)
    (folder / "out" / "measure.html").write_text(MEASURE)
    handler = functools.partial(Quiet, directory=str(folder / "out"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/measure.html"
    server.shutdown()
    thread.join()
    server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


MEASURE = """<!doctype html><body><script>
const frame = document.createElement("iframe");
frame.width = location.hash.slice(1); frame.height = 2000; frame.src = "report.html";
frame.onload = () => {
  const page = frame.contentDocument, wide = Number(frame.width);
  page.querySelectorAll("details").forEach((one) => { one.open = true; });
  const hidden = (one) => one.closest("thead") && wide <= 820;
  const beyond = [...page.querySelectorAll("main *")].filter((one) => !hidden(one) &&
    !one.closest("svg svg, svg *") && one.getBoundingClientRect().right > wide + 0.5);
  const out = document.createElement("pre");
  out.textContent = JSON.stringify({scroll: page.documentElement.scrollWidth,
    beyond: beyond.map((one) => one.outerHTML.slice(0, 120))});
  document.body.append(out);
};
document.body.append(frame);
</script>"""


@pytest.mark.parametrize("width_px", [390, 768, 1200])
def test_nothing_of_the_page_is_cut_off_in_a_browser(
    served: str, tmp_path: Path, width_px: int
) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium: the layout is looked at where there is one")
    quiet = "--disable-gpu --no-first-run --disable-background-networking --disable-sync"
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", *quiet.split(), "--disable-component-update",
            f"--user-data-dir={tmp_path}", "--window-size=1400,2200", "--virtual-time-budget=20000",
            "--dump-dom", f"{served}#{width_px}",
        ],
        capture_output=True, text=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    found = re.search(r"<pre>(.*?)</pre>", done.stdout, re.S)
    assert found is not None, done.stdout[-500:]
    measured = json.loads(unescape(found.group(1)))
    assert measured["beyond"] == []
    assert measured["scroll"] <= width_px
