"""Probability in words, the operating point and its price, against Bayes' theorem computed here."""

from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api").expect


def percent(page: Any, name: str) -> float:
    return float(page.locator(f"#{name}").text_content().strip("<> \xa0%"))


def bayes(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    found, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    cleared, missed = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return 100 * found / (found + alarms), 100 * cleared / (cleared + missed)


def test_the_slider_moves_rates_and_predictive_values(page: Any, server: Any) -> None:
    curve = server.ask("/v1/model")["curve"]
    page.get_by_label("Local prevalence", exact=True).fill("8.5")
    for threshold in (0.1, 0.3, 0.6, 0.75):
        page.locator("#threshold").fill(str(threshold))
        at = next(i for i, value in enumerate(curve["thresholds"]) if value >= threshold)
        rates = curve["sensitivity"][at], curve["specificity"][at]
        assert percent(page, "sensitivity") == pytest.approx(100 * rates[0], abs=0.05)
        assert percent(page, "specificity") == pytest.approx(100 * rates[1], abs=0.05)
        ppv, npv = bayes(*rates, 0.085)
        assert percent(page, "ppv") == pytest.approx(ppv, abs=0.051)
        assert percent(page, "npv") == pytest.approx(npv, abs=0.051)


def test_predictive_values_follow_the_local_prevalence(page: Any, server: Any) -> None:
    point = server.ask("/v1/model")["operating_points"][0]
    rates = point["sensitivity"]["value"], point["specificity"]["value"]
    expect(page.get_by_label("Local prevalence", exact=True)).to_have_value("30")  # of the validation images
    for prevalence in (1, 10, 50):
        page.get_by_label("Local prevalence in percent").fill(str(prevalence))
        expect(page.get_by_label("Local prevalence", exact=True)).to_have_value(str(prevalence))
        ppv, npv = bayes(*rates, prevalence / 100)
        assert percent(page, "ppv") == pytest.approx(ppv, abs=0.051)
        assert percent(page, "npv") == pytest.approx(npv, abs=0.051)


def test_the_price_is_told_in_whole_patients(page: Any) -> None:
    page.get_by_label("Local prevalence", exact=True).fill("10")
    page.locator("#threshold").fill("0.6")  # sensitivity 0.6, specificity 0.9
    cohort = page.locator("#cohort")
    expect(cohort).to_contain_text("100 with pneumonia")
    expect(cohort).to_contain_text("60 found, 40 missed")
    expect(cohort).to_contain_text("810 cleared, 90 false alarms")


def test_nobody_called_positive_leaves_no_predictive_value(page: Any) -> None:
    page.locator("#threshold").fill("1")
    expect(page.locator("#ppv")).to_have_text("–")
    expect(page.locator("#ppv-range")).to_have_text("nobody is called positive")


def test_the_prevalence_is_remembered(page: Any) -> None:
    page.get_by_label("Local prevalence", exact=True).fill("4.2")
    page.reload()
    expect(page.get_by_label("Local prevalence", exact=True)).to_have_value("4.2")


def test_the_threshold_moves_the_decision_of_every_radiograph(read: Any, server: Any) -> None:
    p_abnormals = sorted(found["p_abnormal"] for found in server.predictions())
    between = (p_abnormals[1] + p_abnormals[2]) / 2
    read.locator("#threshold").fill(f"{between:.3f}")
    expected = sum(p_abnormal >= float(f"{between:.3f}") for p_abnormal in p_abnormals)
    expect(read.locator(".row[data-state=positive]")).to_have_count(expected)
    read.locator("#threshold").fill("0")
    expect(read.locator("#verdict")).to_have_text("Positive for pneumonia")
    read.locator("#threshold").fill("1")
    expect(read.locator("#verdict")).to_have_text("Negative for pneumonia")
    expect(read.locator("#live")).to_contain_text("Negative for pneumonia")
    expect(read.locator(".row[data-state=positive]")).to_have_count(0)


def test_the_threshold_is_moved_by_keys_alone(page: Any) -> None:
    page.locator("#threshold").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#threshold-value")).to_have_text("50.1 %")
    page.keyboard.press("Home")
    expect(page.locator("#sensitivity")).to_have_text("100.0 %")


def test_a_named_operating_point_shows_its_intervals(page: Any, server: Any) -> None:
    strict = server.ask("/v1/model")["operating_points"][1]
    page.get_by_role("radio", name="Strict").check()
    expect(page.locator("#threshold-value")).to_have_text("99.9 %")
    assert percent(page, "sensitivity") == 100 * strict["sensitivity"]["value"]
    expect(page.locator("#sensitivity-range")).to_have_text("80 to 95 %")
    page.locator("#threshold").fill("0.4")
    expect(page.get_by_role("radio", name="Strict")).not_to_be_checked()
    expect(page.locator("#sensitivity-range")).to_be_empty()


def test_files_are_reported_at_the_chosen_operating_point(page: Any, phantoms: Any, server: Any) -> None:
    page.get_by_role("radio", name="Strict").check()
    page.set_input_files("#files", phantoms[0])
    expect(page.locator("#record")).to_contain_text("at Strict (99.9 %)")
    assert [found["operating_point"] for found in server.predictions()] == ["strict"]


def test_the_probability_is_said_in_words_here_and_at_the_local_prevalence(read: Any, server: Any) -> None:
    p_abnormal = server.predictions()[0]["p_abnormal"]

    def words(probability: float) -> str:
        count = round(100 * probability)
        return "fewer than 1" if count < 1 else "more than 99" if count > 99 else f"about {count}"

    said = read.locator("#finding")
    expect(said).to_contain_text(
        f"Of 100 radiographs with this score, {words(p_abnormal)} would show pneumonia, "
        "at the prevalence of the validation data (30 %)."
    )
    read.get_by_label("Local prevalence", exact=True).fill("10")
    odds = p_abnormal / (1 - p_abnormal) * (0.1 / 0.9) / (0.3 / 0.7)
    expect(said).to_contain_text(f"At your prevalence of 10 %: {words(odds / (1 + odds))}.")
