"""The benchmark's own machinery: the order of turns, where figures are written, what a run costs."""

import pytest

from bench import cost, report
from bench.ingest.contest import Result
from bench.rounds import Turns, take_turns


class Competitor:
    def __init__(self, name, journal):
        self._name, self._journal = name, journal

    def prepare(self):
        self._journal.append(f"prepare {self._name}")

    def work(self):
        self._journal.append(self._name)

    def check(self):
        self._journal.append(f"check {self._name}")


def test_competitors_take_turns_in_alternating_order():
    journal = []
    turns = take_turns({name: Competitor(name, journal) for name in "abc"}, rounds=2)

    assert [entry for entry in journal if len(entry) == 1] == list("abccba")
    assert journal[:3] == ["prepare a", "a", "check a"]
    assert [len(turn.seconds) for turn in turns.values()] == [2, 2, 2]


def test_work_that_fails_its_check_is_not_timed():
    class Failed(Competitor):
        def check(self):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  our own, raised above
        take_turns({"failed": Failed("failed", [])}, rounds=1)


def test_one_odd_round_does_not_move_the_median():
    assert Turns([1.0, 9.0, 2.0]).median == 2.0
    assert Turns([1.0, 9.0, 2.0]).spread == (1.0, 9.0)


def test_a_ratio_compares_the_turns_of_each_round():
    assert Turns([1.0, 9.0, 2.0]).ratio_to(Turns([2.0, 3.0, 1.0])) == 2.0


def test_a_way_that_loads_fewer_records_is_compared_by_records_per_second():
    few, many = Result("few", 200, 200, Turns([4.0]), {}), Result("many", 1_000, 200, Turns([2.0]), {})

    assert few.times_as_fast_as(many) == 0.1


def marked(name, *lines):
    return "".join(f"{line}\n" for line in (f"<!-- bench: {name} -->", *lines, "<!-- /bench -->"))


def test_figures_are_replaced_and_the_text_around_them_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Before.\n" + marked("a", "old") + "Between.\n" + marked("b"))

    report.write({"a": "| 1 |", "b": "two"}, page)
    report.write({"a": "| 3 |"}, page)

    assert page.read_text() == "Before.\n" + marked("a", "| 3 |") + "Between.\n" + marked("b", "two")


def test_figures_without_a_place_are_an_error(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- bench: a -->\n")

    for name in ("a", "b"):
        with pytest.raises(KeyError):
            report.write({name: "figures"}, page)


@pytest.mark.parametrize(
    "name",
    ["picture", "machine", "ingest", "steps", "pages", "read", "cold-start", "package", "growth", "cost"],
)
def test_the_page_has_a_place_for_every_part(name):
    assert f"<!-- bench: {name} -->" in report.PAGE.read_text(encoding="utf-8")


def test_the_cost_of_a_million_records_is_their_seconds_times_the_functions_memory():
    text = cost.markdown(20_000, 1_000, hot_seconds=0.0001, miss_seconds=0.0009)

    assert "= 50.0 s; × 1,769 MB = 86.4 GB-s; **$0.0014 (x86_64)" in text
    assert "all in Redis, by `api_handler` with 1,024 MB, 0.58 of a vCPU: 0.17 ms, billed as 1 ms" in text
    assert "1.55 ms, billed as 2 ms; 1,000,000 × 2 ms = 2,000 s" in text
