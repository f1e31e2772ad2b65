"""P10: whatever stands in any field of a run, the page has the elements that it has with "x", and runs nothing."""

from __future__ import annotations

import functools
import html
import importlib.util
import itertools
import re
import urllib.parse
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deepprinciples.report import formatting, page
from deepprinciples.report.figures import plots

REPORT = Path(__file__).parents[1] / "report"
RAW = (
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>", "<svg><script>alert(1)</script></svg>", "<iframe src=javascript:alert(1)>",
    "<body onload=alert(1)>", "<details open ontoggle=alert(1)>", "<a href=javascript:alert(1)>x</a>",
    "<meta http-equiv=refresh content=0;url=//x>", "<link rel=stylesheet href=//x>", "<base href=//x>",
    "<form action=//x><input type=submit>", "<object data=//x>", "<embed src=//x>", "<video src=//x onerror=alert(1)>",
    "<style>@import '//x';</style>", "</style><script>alert(1)</script>", "</title><script>alert(1)</script>",
    "</pre></details></table></figure><script>", "<!--", "-->", "<![CDATA[", "]]>", "<?php x ?>", "<!DOCTYPE x>",
    "<foreignObject><body onload=alert(1)>", "<use href=data:image/svg+xml,x>", "<animate onbegin=alert(1)>",
    "<math><mi xlink:href=javascript:alert(1)>", "<template><script>alert(1)</script>",
    "<noscript><p title='</noscript>",
    "javascript:alert(1)", "expression(alert(1))", "url(//x)", "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "<script", "<", ">", "&lt;script&gt;", "&#60;script&#62;", "&#x3c;img&#x20;src=x&#x3e;", "&", "&amp", "%s%n{0}",
)  # fmt: skip
AROUND = (  # NumPy cuts a NUL off the end of a label, which then is another arm's; hence the dot
    '"', "'", '">', "'>", '" onmouseover="alert(1)', "' onmouseover='alert(1)", "`", "\\", "\\\"", "\0.", "\n", "\r\n",
    "\x0c", "\x1b[31m", "\u2028", "\u202e", "\ud800", "\ufeff", "\uff1cscript\uff1e", "\u00ad", "$", "$$x_2$",
    "x" * 300,
)  # fmt: skip


def payloads() -> list[str]:
    """Give 200 of them, the plain ones first."""
    mixed = (before + raw for before, raw in itertools.product(AROUND, RAW))
    coded = (way(raw) for way in (str.upper, html.escape, urllib.parse.quote) for raw in RAW)
    found = dict.fromkeys([*RAW, *AROUND, *itertools.islice(mixed, 0, None, 11), *coded])
    return list(found)[:200]


def module(name: str) -> ModuleType:
    """Load a file of the tests of the report, whose study that never ran is used here too."""
    spec = importlib.util.spec_from_file_location(f"of_report_{name}", REPORT / f"{name}.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@functools.cache
def rooms() -> tuple[ModuleType, ModuleType]:
    return module("conftest"), module("test_page")


def poisoned(payload: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Give a study in which every text carries the payload: titles, names, keys, notes, attributes."""
    study, known = rooms()
    small = functools.partial(study.fake_study, arms=("one", "two"), seeds=3, layers=2, steps=4, trials=2)
    results, summary, manifest = known.poisoned(lambda **_: small(), payload)
    results.attrs = {"metric": payload, payload: payload}
    for variable in results.variables.values():
        variable.attrs = {"units": payload, "long_name": payload}
    more = {"environment": {payload: payload}, "programs": [{payload: [payload]}], payload: payload}
    summary |= {"limits": [payload, *summary["limits"]], payload: payload}
    return results, summary, manifest | more


def elements(payload: str) -> tuple[list[Any], list[Any], str]:
    """Give the elements of the page with their depths and attributes, the attributes' values, and the page."""
    document = page.render(*poisoned(payload))
    tree = rooms()[1].parse(document)
    return tree.nodes, tree.values, document


def test_every_field_of_the_report_is_inert(often: Any, account: Any) -> None:
    """Opening a colleague's report would run their code in the reader's browser, or hide what was found."""
    tried = payloads()
    assert len(tried) == 200
    plain, _, document = elements("x")
    assert document.count("x") > 100
    wrong = []
    for payload in tried[:: often(12, 1)]:
        nodes, values, _ = elements(payload)
        loud = any(name.startswith("on") or tag == "script" for tag, name, _ in values)
        loud |= any(name == "src" and not value.startswith("data:") for _, name, value in values)
        wrong += [payload] * (nodes != plain or loud)
    account("P10", payloads=len(tried[:: often(12, 1)]), changed=len(wrong), fields=_fields())
    assert not wrong


def _fields() -> int:
    """Count the texts that carry the payload."""
    mark = "MARK"
    return sum(str(one).count(mark) for one in poisoned(mark)[1:]) + str(poisoned(mark)[0].to_dict()).count(mark)


def test_the_names_of_figures_are_ours(tmp_path: Path) -> None:
    """A name from a file would choose which file of the reader's is written over."""
    results, summary, _ = poisoned("../../x")
    for plot in plots.figures(results, summary):
        assert re.fullmatch(r"[a-z0-9_-]{1,40}", plot.name), plot.name


@pytest.mark.parametrize("payload", payloads()[::20])
def test_what_is_escaped_reads_back_as_it_was(payload: str) -> None:
    """A reader would see other names than the run has, or half of them."""
    shown = page.environment().from_string("{{ words }}").render(words=payload)
    assert html.unescape(shown) == formatting.clean(payload, lines=True)
    assert not set(shown) & set("<>\"'")
