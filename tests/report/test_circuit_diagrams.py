"""Circuits in the report: each is drawn once, and a strange summary costs the figure alone."""

from __future__ import annotations

from deepprinciples.report import page
from deepprinciples.report.figures import circuit_diagrams, mpl_style, plots


def test_a_circuit_is_drawn_once_for_all_arms_that_have_it(study) -> None:
    """Lost: what the arms are, without reading a config."""
    results, summary, manifest = study(arms=("small", "same", "whole", "mlp"), seeds=4, layers=2, steps=4)
    one = {"qubits": 3, "depth": 2, "observable": "local", "outputs": 2}
    wide = {"qubits": 20, "depth": 80, "observable": "global", "outputs": 1}
    summary["circuits"] = {"small": one, "same": one, "whole": wide, "broken": {"qubits": None}}
    drawn = [plot for plot in plots.figures(results, summary) if plot.group == "circuits"]
    text = [mpl_style.to_svg(plot).decode() for plot in drawn]
    assert len(drawn) == 2 and "Circuit of small, same" in text[0] and " × 80" in text[1]
    assert (text[0].count(">Rx<"), text[0].count(">Z<"), text[1].count(">Z<")) == (3, 2, 12)
    assert "The first 12 qubits are shown." in drawn[1].caption
    assert 'id="circuits"' in page.render(results, summary, manifest, drawn)
    assert circuit_diagrams.diagrams({"circuits": "none"}) == []
