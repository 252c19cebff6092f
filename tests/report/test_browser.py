"""The page's script, in a real browser where there is one: what the pointer and the buttons do, and that nothing goes wrong."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stopgrad.config import to_json
from stopgrad.report.page import write_report
from tests.report.runs import clusters, make_config, make_evaluation, picture, write_lines
from tests.report.test_sweeps import swept

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

ACT = """
const seen = {}, find = (s) => document.querySelector(s), texts = (s) => all(s).map((o) => o.textContent);
const touch = (on, type, x, y) => {
  const box = on.getBoundingClientRect();
  on.dispatchEvent(new PointerEvent(type, { clientX: box.left + x, clientY: box.top + y, pointerId: 1, bubbles: true }));
};
const chart = find('.chart[data-key="loss"] svg'), box = chart.getBoundingClientRect(), at = (step) => (42 + (310 * step) / 400) * (box.width / 360);
touch(chart, "pointermove", at(103), 40);
seen.hovered = texts("output").concat(find(".when").textContent);
touch(chart, "pointerleave", 0, 0);
seen.rest = texts("output").concat(find(".when").textContent);
const [map] = maps, canvas = map.canvas;
canvas.setPointerCapture = () => {};
touch(canvas, "pointermove", ...map.place(7));
seen.name = texts(".preview .name").concat(texts(".preview .label"));
touch(canvas, "pointerdown", ...map.place(7));
touch(canvas, "pointerup", ...map.place(7));
touch(canvas, "pointerleave", 0, 0);
seen.kept = texts(".preview .name")[0];
find("[data-zoom='1.4']").click();
find("[data-mode=pictures]").click();
seen.pictures = map.drawn.length;
touch(canvas, "pointerdown", 5, 5);
touch(canvas, "pointermove", 45, 25);
seen.moved = [map.zoom, ...map.pan];
find("[data-reset]").click();
seen.reset = [map.zoom, ...map.pan];
find("[data-class='2']").click();
seen.dimmed = map.points.label.filter((_, i) => map.dimmed(i)).length;
document.title = JSON.stringify(seen);
"""


NARROW = """
document.documentElement.style.width = "360px";
const inside = all("body *").filter((e) => !e.closest(".scroll > *, script"));
document.title = JSON.stringify(inside.filter((e) => e.getBoundingClientRect().right > 360).map((e) => `${e.tagName} ${e.className}`));
"""
"""What reaches beyond a narrow page."""


def titled(html: Path, profile: Path, size: str) -> str:
    """Return the title that the page's script leaves in a window of ``size``; nothing may be said on the console."""
    assert BROWSER is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr", "--virtual-time-budget=10000"]
    command = [BROWSER, *flags, f"--window-size={size}", f"--user-data-dir={profile}", "--dump-dom", html.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr  # errors of the script, and requests the page's policy refused
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None
    return title[1]


@pytest.mark.whole
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_phone_never_scrolls_sideways(count: int, healthy: Path, tmp_path: Path) -> None:
    lines = [swept("pixels", 1, [0.1, 0.3, 0.2]), swept("random", 1, [0.1, 0.3, 0.2]), swept("backbone", 10, [0.5, 0.4])]
    write_lines(
        healthy / "evaluations.jsonl", [*lines, make_evaluation("knn", "backbone", 0.5, test_images=20), make_evaluation("knn", "random", 0.4)]
    )
    runs = [healthy, *(shutil.copytree(healthy, tmp_path / f"a-name-that-is-rather-long-{i}") for i in range(1, count))]
    for i, run in enumerate(runs):
        (run / "config.json").write_text(json.dumps(to_json(make_config(seed=i, batch=64 * 2**i))))
    out = write_report(runs, tmp_path / "page.html", picture)
    out.write_text(out.read_text().replace("</body>", f"<script>{NARROW}</script></body>"))
    assert json.loads(titled(out, tmp_path / "profile", "500,900")) == []  # headless windows are no narrower


@pytest.mark.whole
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_the_page_answers_the_pointer(healthy: Path, tmp_path: Path) -> None:
    out = write_report([healthy], tmp_path / "page.html", picture)
    html = out.read_text()
    out.write_text(html.replace("</body>", f"<script>sheet.decode().then(() => {{ {ACT} }});</script></body>"))
    seen = json.loads(titled(out, tmp_path / "profile", "1280,900"))

    record = next(r for r in map(json.loads, (healthy / "metrics.jsonl").read_text().splitlines()) if r["step"] == 100)
    assert seen["hovered"][0] == f"{record['loss']:.4g}".replace("-", "−")
    assert seen["hovered"][-1] == "step 100"
    assert seen["hovered"][6] == f"{100 * record['knn']:.1f} %"
    assert seen["rest"][:-1] == re.findall(r"<output[^>]*>([^<]*)</output>", html)
    names, labels, _ = clusters(300)
    assert seen["name"][1] == labels[names.index(seen["name"][0])]
    assert seen["kept"] == seen["name"][0]
    assert seen["pictures"] > 20
    assert seen["moved"] == [1.4, 40, 20]
    assert seen["reset"] == [1, 0, 0]
    assert seen["dimmed"] == 300 - labels.count("hat")
