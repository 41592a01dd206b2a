"""The report: the JSON file has a run's findings, and the page shows them."""

import json
import re

import pytest
from PIL import Image

from .. import targets
from ..cases.case import Case
from ..checks.findings import Finding, Outcome, Verdict
from ..mutants.planting import Trial
from ..photographs.run import Photographs
from ..report import page
from ..report.spread import EDGES, Spread, Value
from ..report.summary import Summary
from ..targets import TargetResult


def outcome(case, ratio, jax=None):
    return Outcome(case, [Finding("rounding", "output", Verdict.AGREES, "", ratio, jax)])


@pytest.fixture
def summary():
    kept = Summary()
    kept.add(outcome(Case(stride=(2, 2)), 0.25, 0.03))
    kept.add(outcome(Case(stride=(2, 2), bias=True, dtype="float64"), 0.125, 2.5))
    failing = Finding("exact", "weight", Verdict.DIFFERS, "<all> of it")
    kept.add(Outcome(Case(bias=True), [failing]))
    return kept


def test_the_worst_of_two_options_is_that_of_the_cases_with_both(summary):
    values, worst = summary.spread.matrix()
    place = {value: i for i, value in enumerate(values)}
    stride, bias = place[Value("stride", "both axes")], place[Value("bias", "True")]
    single, double = place[Value("dtype", "float32")], place[Value("dtype", "float64")]
    assert worst[stride][stride] == 0.25
    assert worst[stride][bias] == worst[bias][stride] == 0.125
    assert worst[bias][single] is None  # the case failed before it had a ratio
    assert worst[single][double] is None
    assert worst[single][stride] == 0.25


def test_half_precision_hides_no_other_ratio(summary):
    before = summary.spread.matrix(), dict(summary.spread.port), dict(summary.spread.jax)
    summary.add(outcome(Case(stride=(2, 2), dtype="bfloat16"), 0.99, 1.5))
    assert (summary.spread.matrix(), summary.spread.port, summary.spread.jax) == before
    assert summary.by_quantity["bfloat16", "output"].worst == 0.99


@pytest.mark.parametrize(
    ("ratio", "place"),
    [(0.0, 0), (EDGES[0], 0), (EDGES[3] * 0.999, 3), (EDGES[3] * 1.001, 4), (1.0, len(EDGES) - 1)]
    + [(larger, len(EDGES)) for larger in (1.001, float("inf"), float("nan"))],
)
def test_each_ratio_has_its_bin(ratio, place):
    spread = Spread()
    spread.add(outcome(Case(), ratio), {})
    assert spread.port == {place: 1}
    assert not spread.jax


def test_each_command_replaces_its_own_sections_only(summary, tmp_path):
    page.update(tmp_path, mutants={"trials": [Trial("kernel flipped", ("exact",), 3)._asdict()]})
    path = page.update(tmp_path, cases=summary.section(7))
    content = json.loads((tmp_path / "parity.json").read_text("utf-8"))
    assert content["mutants"]["trials"][0]["caught_by"] == ["exact"]
    cases = content["cases"]
    assert (cases["seed"], cases["cases"], cases["failed"]) == (7, 3, 1)
    assert sum(cases["histogram"]["port"]) == 2
    assert cases["histogram"]["jax"][-1] == 1
    assert cases["checks"]["exact"]["DIFFERS"] == 1
    assert set(cases["made"]["versions"]) >= {"torch", "jax", "brainstate"}
    assert cases["made"]["processor"].strip(", ")
    text = path.read_text("utf-8")
    assert "kernel flipped" in text
    assert "&lt;all&gt; of it" in text  # escaped
    assert "python -m parity --case" in text
    assert text.count("<svg") == 1


def test_an_infinite_ratio_is_kept_and_shown(tmp_path):
    kept = Summary()
    kept.add(outcome(Case(), float("inf")))
    path = page.update(tmp_path, cases=kept.section(0))
    json.loads((tmp_path / "parity.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert re.search(r'background: #f33[^>]*">inf', path.read_text("utf-8"))


def test_the_page_needs_no_other_file(tmp_path):
    Image.effect_noise((40, 30), 50).save(tmp_path / "own.png")
    path = page.update(tmp_path, photographs=Photographs([], [tmp_path / "own.png"]).section())
    text = path.read_text("utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', text)
    assert len(sources) == 1
    assert sources[0].startswith("data:image/jpeg;base64,/9j/")


def test_a_layer_that_a_target_cannot_run_leaves_its_place_empty(tmp_path):
    found = ("a", "one", 0.5), ("b", "two", 0.25), ("c", "one", 2.0), ("c", "two", 0.1)
    results = [TargetResult(*each) for each in found]
    text = page.update(tmp_path, targets=targets.section(results)).read_text("utf-8")
    cells = {
        layer: re.findall(
            r"<td[^>]*>([^<]*)", text.partition(f"<th>{layer}")[2].partition("</tr>")[0]
        )
        for layer in ("one", "two")
    }
    assert [cell.strip() for cell in cells["one"]] == ["50", "", "200"]
    assert [cell.strip() for cell in cells["two"]] == ["", "25", "10"]
