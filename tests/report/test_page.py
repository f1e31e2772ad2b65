"""The page must stay inert, whole and honest whatever it is given."""

from __future__ import annotations

import base64
import copy
import functools
import re
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_svg import FigureCanvasSVG
from rich.cells import cell_len

from deepprinciples.report import formatting, page, search_text, table_rows, verdict_tables
from deepprinciples.report.figures import plots

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</title></style></svg></pre></details><script>",
    "$x_2$ $\\frac{1}{0}$ $",
    "\x1b[31mred\x00\x07\ud800\ufffe\r\n",
    "\u202e\u05e9\u05dc\u05d5\u05dd \u0627\u0628\u062c\u062f\u2066",
    "\U0001f600\u200d\U0001f680 \u6f22\u5b57",
    "]]><!-- --> &lt; &#60; %s {0} [bold]",
    "x" * 400,
    "\x00\x1b]0;title\x07 ",
)
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Tree(HTMLParser):
    """Collects every element with its depth and attribute names, its ids, its links and all attribute values."""

    def __init__(self):
        super().__init__()
        self.nodes, self.ids, self.values, self.depth, self.words = [], [], [], 0, []

    def handle_starttag(self, tag, attrs):
        self.nodes.append((self.depth, tag, tuple(sorted(name for name, _ in attrs))))
        self.ids += [value for name, value in attrs if name == "id"]
        self.values += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.depth += 1

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.depth -= 1

    def handle_endtag(self, tag):
        self.depth -= 1

    def handle_data(self, data):
        self.words.append(data)


def parse(document):
    tree = Tree()
    tree.feed(document)
    tree.close()
    return tree


def pictures(document):
    """Return the figures of a page as XML; one that is not well-formed raises."""
    found = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', document)
    return [ElementTree.fromstring(base64.b64decode(data)) for data in found]


def shapes(document):
    """Return the elements of all figures with the names of their attributes."""
    return [(node.tag, tuple(sorted(node.attrib))) for root in pictures(document) for node in root.iter()]


def poisoned(study, *poisons):
    """Return a study in which every string, keys included, carries a poison; equal strings carry the same one."""
    results, summary, manifest = study(arms=("one", "two", "three"), seeds=6, layers=3, steps=6, trials=4)

    def swap(value):
        return value + poisons[sum(map(ord, value)) % len(poisons)]

    coords = {
        dim: [swap(str(label)) for label in results[dim].values] for dim in ("arm", "layer", "transform", "parameter")
    }
    results = results.assign_coords(coords)

    def walk(value, key=""):
        if isinstance(value, dict):
            fixed = {"tuned_point", "chosen", "changes", "versions"}
            return {(swap(k) if key in fixed else k): walk(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [walk(item, key) for item in value]
        if isinstance(value, str) and key not in ("kind", "direction"):
            return swap("?" if key == "verdict" else value)
        return value

    return results, walk(copy.deepcopy(summary)), walk(copy.deepcopy(manifest))


@pytest.fixture(scope="module")
def whole(study):
    """The demo's report: 5 arms, 20 seeds, 17 layers, 50 steps."""
    return page.render(*study())


def test_hostile_strings_leave_the_element_tree_as_it_is(study):
    """Lost otherwise: opening a colleague's report could run code or hide what was found."""
    drawn = page.render(*poisoned(study, "x"))
    plain = parse(drawn)
    assert plain.depth == 0
    for turn in (0, 5):  # each string meets two of them; all together they meet all
        document = page.render(*poisoned(study, *HOSTILE[turn:], *HOSTILE[:turn]))
        tree = parse(document)
        assert tree.nodes == plain.nodes and shapes(document) == shapes(drawn)
        assert not [name for _, name, _ in tree.values if name.startswith("on")]


def test_strings_that_hold_nothing_printable_still_make_a_page(study):
    """Lost otherwise: a name of control characters breaks the report, or leaves rows without a name."""
    results, summary, manifest = study(arms=("one", "two"), seeds=6, layers=2, steps=4, trials=3)
    results = results.assign_coords(arm=["\x00", "\x1b"])
    for row, name in zip(summary["arms"], ("\x00", "\x1b"), strict=True):
        row["name"] = name
    assert "(unnamed)" in page.render(results, summary, manifest)


def test_dollars_are_not_formulas(study):
    """Lost otherwise: an arm called $x_2$ is drawn as mathematics, and a lone $ may raise."""
    results, summary, manifest = poisoned(study, "$x_2$")
    document = page.render(results, summary, manifest)
    drawn = [root for root in pictures(document) if "one$x_2$" in "".join(root.itertext())]
    assert document.count("one$x_2$") > 4 and len(drawn) > 8


def test_the_page_is_offline_and_runs_nothing(whole):
    """Lost otherwise: opening a report tells a server, or lets it in."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in whole
    tree = parse(whole)
    names = {name for _, name, _ in tree.nodes}
    assert not names & {"script", "iframe", "link", "object", "embed", "base", "form"}
    for tag, name, value in tree.values:
        if name in ("href", "src", "xlink:href", "action"):
            assert value.startswith(("#", "data:image/svg+xml;base64,", "data:text/csv;base64,")), (
                tag,
                name,
                value[:60],
            )
    assert not re.search(r"https?://|//[a-z]+\.|@import|javascript:", whole)
    for node in (node for root in pictures(whole) for node in root.iter()):
        assert node.tag.startswith("{http://www.w3.org/2000/svg}") and not node.tag.endswith("}script")
        for name, value in node.attrib.items():
            assert not name.startswith("on") and "javascript:" not in value
            assert not name.endswith("href") or value.startswith(("#", "data:image/png;base64,"))


def test_the_verdicts_can_be_taken_along_as_numbers(study):
    """Lost: the numbers of a report that was sent without its run directory; nothing is run to get them."""
    results, summary, manifest = study(seeds=6, layers=2, steps=4)
    written = page.render(results, summary, manifest)
    (link,) = re.findall(r'<a download="verdicts.csv" href="data:text/csv;base64,([^"]+)">', written)
    assert base64.b64decode(link).decode() == verdict_tables.csv(summary)


def test_a_dark_scheme_has_colors_of_its_own(whole):
    """Lost: white labels on white where a browser darkens the page by itself; the figures keep a white ground."""
    scheme = whole.split("@media screen and (prefers-color-scheme: dark) {")[1].split("@media")[0]
    light = whole.split("@media")[0]
    for color in ("ink", "soft", "rule", "wash", "accent", "better", "worse", "paper", "shade", "warn"):
        assert f"--{color}: #" in light and f"--{color}: #" in scheme, color
    assert "color-scheme: light dark" in light and "figure img { background: #fff" in scheme


def test_ids_are_unique_and_links_find_them(whole):
    """Lost otherwise: one figure draws the clip path or the markers of another."""
    tree = parse(whole)
    assert len(tree.ids) == len(set(tree.ids))
    links = [value[1:] for _, name, value in tree.values if name == "href" and value.startswith("#")]
    assert links and set(links) <= set(tree.ids)
    for root in pictures(whole):
        ids = [node.get("id") for node in root.iter() if node.get("id")]
        clips = [found for node in root.iter() for found in re.findall(r"url\(#([^)]+)\)", str(node.attrib))]
        assert clips and set(clips) <= set(ids) and len(ids) == len(set(ids))


def test_the_same_study_gives_the_same_bytes_and_a_small_file(whole, study):
    """Lost otherwise: reports cannot be compared or cached, or are too large to mail."""
    assert page.render(*study()) == whole
    assert len(whole.encode()) < 1_500_000


def test_everything_a_reader_needs_is_there(whole, study):
    """Lost otherwise: an arm, a verdict, a warning, a limit or the way to repeat the study goes missing."""
    _, summary, _ = study()
    words = " ".join(parse(whole).words)
    for row in summary["arms"]:
        assert row["name"] in words
    for row in summary["comparisons"]:
        assert row["verdict"] in words and row["sentence"] in words
    for line in [*summary["warnings"], *summary["limits"], summary["headline"], summary["command"], summary["title"]]:
        assert line in words
    assert "seed 100 at step 750" in words and "on the edge" in words and "4 of 20" in words
    figures = whole.count("<figure>")
    assert figures == whole.count("<figcaption>") == len(pictures(whole)) == 16
    assert all(value for tag, name, value in parse(whole).values if (tag, name) == ("img", "alt"))
    assert whole.index(summary["headline"]) < whole.index("<table>")
    assert '<meta name="viewport"' in whole and "@media print" in whole


def test_variables_may_be_absent(study):
    """Lost otherwise: a study that measured less has no report at all."""
    results, summary, manifest = study(arms=("one", "two", "three"), seeds=3, layers=2, steps=4, trials=3)
    names = list(results.data_vars)
    assert len(plots.figures(results, summary)) == 16
    for name in names:
        assert len(plots.figures(results[[name]], summary)) >= 1
    for gone in (names, names[::2]):
        document = page.render(results.drop_vars(gone), summary, manifest)
        assert parse(document).depth == 0 and summary["headline"] in document


def test_every_value_of_the_summary_may_be_none(study):
    """Lost otherwise: one number that could not be made takes the whole report away."""
    results, summary, manifest = study(arms=("one", "two"), seeds=3, layers=2, steps=4, trials=3)
    results = results[["score", "diverged_at", "tuning_score", "tuning_point"]]
    empty = dict.fromkeys(summary)
    assert parse(page.render(results, empty, dict.fromkeys(manifest))).depth == 0
    assert parse(page.render(results, {}, {})).depth == 0
    for key in ("arms", "comparisons", "programs"):
        bare = summary | {key: [dict.fromkeys(row) for row in summary[key]]}
        assert parse(page.render(results, bare, manifest)).depth == 0
    for key in ("cost", "protocol"):
        bare = summary | {key: dict.fromkeys(summary[key])}
        assert parse(page.render(results, bare, manifest)).depth == 0


def test_a_training_run_and_a_single_seed_have_a_page(training):
    """Lost otherwise: `train` has no report."""
    document = page.render(*training())
    assert "Training run" in document and "How it was tuned" not in document
    assert document.count("<figure>") >= 8


def test_an_arm_that_diverged_everywhere_is_shown_and_told(study):
    """Lost otherwise: the arm that failed most is the one a reader does not see."""
    results, summary, manifest = study(arms=("one", "two"), seeds=4, layers=2, steps=4, trials=3)
    for name in results.data_vars:
        if results[name].dtype.kind == "f" and name != "tuning_point":
            results[name].values[0] = np.nan
    results["diverged_at"].values[0] = 0
    results["tuning_diverged_at"].values[0] = 0
    document = page.render(results, summary, manifest)
    assert "4 of 4" in document and "36 of 36" in document
    assert any("no values" in "".join(root.itertext()) for root in pictures(document))
    everything = results.copy(deep=True)
    for name in everything.data_vars:
        if everything[name].dtype.kind == "f" and name != "tuning_point":
            everything[name].values[:] = np.nan
    assert "seed 100 at step 0" in page.render(everything, summary, manifest)


def test_a_file_is_written_as_utf8_in_any_locale(study, tmp_path):
    """Lost otherwise: the same report has other bytes under LC_ALL=C."""
    results, summary, manifest = study(arms=("größe", "漢字"), seeds=3, layers=2, steps=4, trials=3)
    path = page.write(tmp_path / "report.html", results, summary, manifest)
    assert path.read_bytes() == page.render(results, summary, manifest).encode("utf-8")


def test_the_room_does_not_wake_jax():
    """Lost otherwise: `report` takes seconds to start and needs an accelerator's libraries."""
    code = (
        "import sys; from deepprinciples.report import page, terminal;"
        "sys.exit(any(m.split('.')[0] in ('jax', 'flax', 'pyplot') or m == 'matplotlib.pyplot' for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_numbers_read_as_a_person_writes_them():
    """Lost otherwise: a bound that touches zero looks clear of it, or a small p reads as 0."""
    assert formatting.estimate(0.12345, [0.1011, 0.1457], signed=True) == "+0.123"
    assert formatting.bounds([-0.0042, 0.1457]) == "[\u22120.004, 0.146]"
    assert formatting.bounds([0.5, 0.5]) == "[0.5, 0.5]"
    assert formatting.probability(0.00001) == "< 0.0001" and formatting.probability(0.0421) == "0.0421"
    assert formatting.finite(10**400) is None and formatting.finite(2**1000) == 2.0**1000
    assert formatting.number(None) == formatting.number(float("nan")) == formatting.estimate(None) == formatting.NOTHING
    assert formatting.number(1e-7) == "1e\u22127" and formatting.number(330000) == "330,000"
    assert formatting.duration(59.6) == "1 min 0 s" and formatting.duration(7380) == "2 h 3 min"
    assert formatting.duration(-1) == formatting.NOTHING
    assert formatting.shorten("a" * 40 + "z", 9) == "aaaaaa…az" and cell_len(formatting.shorten("漢" * 30, 11)) <= 11


def test_only_known_verdicts_choose_a_color():
    """Lost otherwise: a string from a file becomes part of the page's markup."""
    assert table_rows.word("better").kind == "better"
    assert table_rows.word('better" onclick="x').kind == "other"
    assert table_rows.word("better for the settings found").kind == "better soft"
    assert table_rows.word("cannot be judged").kind == "other"
    found = lambda *words: table_rows.strongest({"comparisons": [{"verdict": word} for word in words]})
    assert found("no evidence", "worse for the settings found") == "worse soft"
    assert found("worse for the settings found", "better") == "better" and found("cannot be judged") == "other"


def test_the_shapes_that_were_measured_are_told(study):
    """Why lanes ran one after another would stay a riddle."""
    results, summary, manifest = study(arms=("one", "two", "three", "four"), seeds=2, layers=2, steps=4, trials=3)
    tried = [
        {"mode": "map", "width": 10, "ms_per_model_step": 0.17},
        {"mode": "vmap", "width": 4, "ms_per_model_step": 0.25},
    ]
    rows = [{**row, "mode": "map", "measured": tried if not i else []} for i, row in enumerate(summary["programs"])]
    html = page.render(results, {**summary, "programs": rows}, manifest)
    assert "measured in 2 shapes; one after another, 10 wide: 0.17 ms" in html
    assert html.count("measured in") == 1


def test_setting_or_seed_is_told_with_what_is_missing(study):
    """Lost otherwise: whether another learning rate or only more luck would have helped."""
    results, summary, manifest = study(arms=("one", "two"), seeds=6, layers=2, steps=4, trials=3)
    document = page.render(results, summary, manifest)
    assert "Setting or seed?" in document and "81 to 97 %" in document
    assert "learning_rate 70 % (50 to 80 %); momentum 20 % (10 to 30 %); jointly 10 %" in document
    summary["importance"][0] |= {"setting": None, "interval": None, "seed": None, "note": "all trials are <alike>"}
    assert "all trials are &lt;alike&gt;" in page.render(results, summary, manifest)


def test_a_range_test_has_a_page_of_its_own(range_test):
    """Lost otherwise: what to paste, or its runs are shown as a comparison that somebody lost."""
    document = page.render(*range_test())
    words = " ".join(parse(document).words)
    assert "Range test of learning rates" in words and "To paste into a config" in words
    assert '[arms.plain]\ntune = { "optimizer.learning_rate" = { low = 0.0025, high = 0.5, scale = "log" } }' in words
    assert document.count("<figure>") == 1 and "0.4 to 0.6" in words
    assert "What diverged" not in words and "Comparisons" not in words


def test_a_damaged_search_is_left_out(study, range_test):
    """Lost otherwise: the whole report of a run, for a number of it that is not there."""
    results, summary, manifest = study(arms=("one", "two"), seeds=4, layers=2, steps=4, trials=3)
    row = {"name": "one", "trials": [1, 2], "expected": [None, "x"], "spread": 3}
    for damage in ({"arms": [row, {}, None], "leaders": [{}]}, {"arms": 3}, [1], None):
        page.render(results, summary | {"budget": damage, "importance": [{}, {"parameters": [{}]}]}, manifest)
    results, summary, manifest = range_test()
    page.render(results, summary | {"rates": [{}, {"steepest": "x", "low": 3.0}]}, manifest)
    page.render(results * np.nan, summary, manifest)


def test_a_study_without_tuning_is_not_said_to_have_tuned(study):
    """A reader would be told of a budget of 0 trials that was spent on validation data."""
    protocol = {"searches": 10, "trials": 8, "tuning_seeds": 3}
    assert "10 searches of 8 trials with 3 tuning seeds each" in search_text.budget({"protocol": protocol})[0]
    assert search_text.budget({"protocol": protocol | {"trials": 0}}) == []
    results, summary, manifest = study(arms=("one", "two"), seeds=2, layers=2, steps=4, trials=3)
    untuned = {**summary, "protocol": protocol | {"trials": 0}, "arms": [{"name": "one"}, {"name": "two"}]}
    assert "<p>Nothing was tuned.</p>" in page.render(results, untuned, manifest)


def test_a_run_is_drawn_once(study, tmp_path, monkeypatch):
    """Every report would take twice as long; or its page and its files show different figures."""
    prints: list[object] = []
    real = FigureCanvasSVG.print_svg

    @functools.wraps(real)
    def counted(self, *given, **options):
        prints.append(self.figure)
        return real(self, *given, **options)

    monkeypatch.setattr(FigureCanvasSVG, "print_svg", counted)
    results, summary, manifest = study()
    page.write(tmp_path / "report.html", results, summary, manifest)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    prints.clear()
    page.write(tmp_path / "report.html", results, summary, manifest, figures=True)
    files = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert len(files) == 2 * len(prints) == 2 * len(set(map(id, prints))) > 0
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page.render(results, summary, manifest)
    assert plots.save_all([], tmp_path / "none") == []


def test_a_broken_promise_is_flagged(study):
    """Lost otherwise: a search that won by luck is believed, for its score stands alone."""
    results, summary, manifest = study(arms=("one", "two", "three"), seeds=6, layers=2, steps=4, trials=3)
    document = page.render(results, summary, manifest)
    assert "What the searches promised" in document and document.count("falls short") == 1
    row = next(row for row in document.split("<tr>") if "falls short" in row)
    assert "three" in row and "0.91" in row and "0.80" in row and "+0.11" in row
    bare = summary | {"arms": [row | {"promise": None} for row in summary["arms"]]}
    assert "What the searches promised" not in page.render(results, bare, manifest)


def test_the_spread_of_scores_is_taken_apart(study):
    """Lost otherwise: whether more searches or more seeds would sharpen the verdict."""
    results, summary, manifest = study(arms=("one", "two"), seeds=6, layers=2, steps=4, trials=3)
    summary["arms"][1] |= {"chosen": [], "variance": {"search": 0.0, "seed": 0.4, "rest": 0.6}}
    document = page.render(results, summary, manifest)
    table = document.partition('aria-label="Shares of variance"')[2].partition("</table>")[0]
    assert "54 %" in table and "width:54.0%" in table and "60 %" in table
    assert f"<td>{formatting.NOTHING}</td>" in table  # an arm that was not tuned
    unknown = dict.fromkeys(("search", "seed", "rest"))
    unknown = {**summary, "arms": [row | {"variance": unknown} for row in summary["arms"]]}
    assert "Shares of variance" not in page.render(results, unknown, manifest)


def test_what_a_study_could_show_is_said(study):
    """Lost otherwise: "no evidence" from a study that could not have found any."""
    results, summary, manifest = study(arms=("one", "two", "three"), seeds=6, layers=2, steps=4, trials=3)
    few = search_text.can_show(summary)
    assert few.startswith("With 4 searches per arm the smallest p that can be reached after Holm over 2 comparisons is")
    assert "0.12; 7 searches are needed for 0.05." in few and "no claim about the methods" in few
    assert few in page.render(results, summary, manifest)
    known = {"p": 0.0039, "needed": 6, "difference": 1.25}
    enough = {"searches": 0, "blocks": 10, "can_show": known, "confidence": 0.95}
    said = search_text.can_show({"protocol": enough, "comparisons": [{"unit": "seed"}]})
    assert said == (
        "With 10 seeds per arm the smallest p that can be reached is 0.0039; 6 seeds are needed for 0.05. A true "
        "difference of 1.2 standard deviations of the differences between seeds is found 4 times in 5."
    )
    many = {"protocol": enough | {"blocks": 1250, "can_show": known | {"p": 0.0}}, "comparisons": [{"unit": "seed"}]}
    assert "that can be reached is below 0.0001; 6 seeds" in search_text.can_show(many)
    for damage in ({}, {"can_show": None}, enough | {"can_show": {}}, enough | {"blocks": "x"}):
        assert search_text.can_show({"protocol": damage, "comparisons": [{}]}) == ""


def test_a_tuned_value_has_the_range_of_the_searches():
    """Lost otherwise: a rate that differed tenfold between searches is printed with four digits."""
    points = [{"a.rate": value, "b.width": 128} for value in (0.0081, 0.028123, 0.0502)]
    row = {"tuned_point": {"a.rate": 0.028123, "b.width": 128}, "chosen": points, "n": 9}
    assert search_text.tuned(row, short=True) == ["rate = 0.028 (0.0081 to 0.05)", "width = 128"]
    assert search_text.runs(row) == "9 in 3 searches"
    assert search_text.tuned({"tuned_point": {"a.rate": 0.028123}, "chosen": points[:1]}) == ["a.rate = 0.02812"]
    assert search_text.tuned({"tuned_point": {"a.rate": None}, "chosen": [{"a.rate": "x"}]}) == ["a.rate = \u2013"]
    assert search_text.tuned({}) == [] and search_text.runs({"n": 30}) == "30"


def test_diverged_trials_are_counted_out_of_those_made(study):
    """Lost otherwise: an arm that was not tuned is said to have had trials, or one that was to have had too many."""
    results, _, _ = study(arms=("one", "two", "three"), seeds=8, layers=2, steps=4, trials=4)
    results["tuning_point"].values[0, 1, 3] = np.nan  # this search was not extended
    results["tuning_diverged_at"].values[0, 1, 3] = -1
    results["tuning_point"].values[1] = np.nan  # this arm was not tuned
    results["tuning_diverged_at"].values[1] = -1
    results["diverged_at"].values[:] = -1
    results["diverged_at"].values[:2, [0, 1, 7]] = 3
    document = page.render(results, {}, {}).partition('aria-label="What diverged"')[2]
    assert "9 of 45" in document and "12 of 48" in document
    rows = {name: next(row for row in document.split("<tr>") if f"<bdi>{name}<" in row) for name in ("one", "two")}
    assert "3 of 8, in 2 of 4 searches" in rows["one"] and "<td>3 of 8</td>" in rows["two"]


def test_an_importance_that_is_not_known_is_one_sentence(study):
    """Lost otherwise: with one tuning seed, the default, a table of dashes."""
    results, summary, manifest = study(arms=("one", "two"), seeds=6, layers=2, steps=4, trials=3)
    none = {"setting": None, "interval": None, "seed": None, "parameters": [], "note": "24 trials x 1 tuning seed"}
    rows = [row | none for row in summary["importance"]]
    made = page.render(results, summary | {"importance": rows}, manifest)
    made = made.partition("Setting or seed?")[2].partition("</section>")[0]
    assert made.count("24 trials x 1 tuning seed") == 1 and "<table>" not in made
    rows[0] |= {"parameters": [{"path": "a.rate", "share": 0.7, "interval": [0.6, 0.8]}], "jointly": 0.3}
    made = page.render(results, summary | {"importance": rows[:1]}, manifest)
    assert "24 trials x 1 tuning seed" in made.partition("Setting or seed?")[2].partition("</table>")[0]
