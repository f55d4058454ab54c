"""The pure parts of bench/: sums, tables, picture, protocol. The peers themselves are tried by `make bench`."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from bench.cases import plan
from bench.compare import arguments, line
from bench.entrants import ALL, OURS, SHARED
from bench.figures import percentile, ratio, summarize
from bench.machine import cpu_seconds, memory, tree
from bench.outcome import METRICS, Outcome
from bench.picture import Bar, draw
from bench.report import drain_bars, number, tables
from bench.subject import TrialError, parse_answer
from bench.tally import RECORD, Tally, verdict

RATE = METRICS["drain"][0]


def trial(
    peer: str, rate: float, *, variant: str = "20,000", foreign: float = 0.0, case: str = "drain", **figures: object
) -> dict[str, Any]:
    given = {"jobs_per_second": rate, "recorded": None, **figures}
    count = int(variant.replace(",", ""))
    return {
        "peer": peer, "case": case, "variant": variant, "repeat": 1, "setting": "-p 2", "foreign": foreign,
        "sizes": {"count": count}, "figures": given,
    }  # fmt: skip


def results(*trials: dict[str, Any], cpus: int = 2, scale: float = 1.0) -> dict[str, Any]:
    machine = {"cpus": cpus, "cpu": "a processor"}
    servers = {"postgres": "18.6", "valkey": "9.1"}
    made = "2026-01-02T03:04:05Z"
    return {"made": made, "commit": "abc", "machine": machine, "servers": servers, "scale": scale, "trials": trials}


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.99, 4), (0.0, 1), (1.0, 4), (0.25, 1), (0.26, 2)])
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert percentile([4, 1, 3, 2], share) == expected


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 1.5), ([1.0], -0.1)])
def test_percentile_of_nothing_or_of_a_strange_share_is_refused(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentile(values, share)


def test_disturbed_trials_are_left_out_when_two_clean_ones_exist() -> None:
    assert summarize([(10.0, 0.0), (30.0, 0.3), (1.0, 0.9)]) == (20.0, 10.0, 30.0, 2, False)


def test_without_two_clean_trials_all_count_and_the_summary_says_so() -> None:
    assert summarize([(10.0, 0.0), (30.0, 0.4), (1.0, 0.9)]) == (10.0, 1.0, 30.0, 3, True)


def test_a_single_clean_trial_is_not_disturbed() -> None:
    assert summarize([(10.0, 0.1)]) == (10.0, 10.0, 10.0, 1, False)


def test_ratio_to_nothing_is_infinite() -> None:
    assert (ratio(6.0, 2.0), ratio(6.0, 0.0)) == (3.0, float("inf"))


def test_counter_file_is_read_back_and_a_torn_record_left_alone(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "counter")
    assert (tally.count(), tally.marks()) == (0, [])
    tally.path.write_bytes(RECORD.pack(2.0, 1, 7) + RECORD.pack(1.0, 0, 8) + RECORD.pack(0.5, -1, 8) + b"torn")
    assert tally.count() == 3
    assert tally.marks(least=0) == [(1.0, 0, 8), (2.0, 1, 7)]


def test_jobs_write_records_that_the_tally_reads(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "counter")
    code = "from counter import mark; mark(5); mark(6)"
    env = {"PYTHONPATH": str(SHARED), "BENCH_COUNTER": str(tally.path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    assert [mark.tag for mark in tally.marks()] == [5, 6]


def test_verdict_counts_lost_doubled_and_strange_jobs(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "counter")
    tally.path.write_bytes(b"".join(RECORD.pack(1.0, tag, 1) for tag in (0, 1, 1, 1, 9)))
    assert verdict(tally.marks(), 4) == {"lost": 2, "twice": 2, "strange": 1}


def test_processor_and_memory_of_a_process_tree_are_seen() -> None:
    code = "import sys\nsum(range(3_000_000))\nprint('.', flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read(1)
        assert [process.pid for process in tree([child.pid])] == [child.pid]
        assert 0.01 < cpu_seconds([child.pid]) < 10
        used = memory([child.pid])
        assert used["processes"] == 1
        assert used["rss_mb"] >= used["pss_mb"] > 1
    assert tree([child.pid]) == []


@pytest.mark.parametrize("answer", [b"Traceback\n", b"[1]\n", b""])
def test_a_driver_that_answers_nonsense_is_an_error(answer: bytes) -> None:
    with pytest.raises(TrialError, match="not a JSON object"):
        parse_answer(answer)


PEER = """
from protocol import Driver, serve

class Peer(Driver):
    bulk = True

    def install(self, queues):
        print("noise of a library")

    def send(self, job, tag, queue):
        seen.append((job, tag, queue))

    def send_many(self, job, tags, queue):
        seen.append((job, len(tags), queue))

    def recorded(self):
        return len(seen)

seen = []
serve(Peer)
"""


def converse(*requests: dict[str, object]) -> list[dict[str, Any]]:
    asked = "".join(json.dumps(request) + "\n" for request in requests)
    command = [sys.executable, "-c", PEER]
    env = {"PYTHONPATH": str(SHARED)}
    done = subprocess.run(command, input=asked, env=env, capture_output=True, text=True, check=True)
    return [parse_answer(answer.encode()) for answer in done.stdout.splitlines()]


def test_a_driver_answers_each_request_with_one_line_whatever_its_library_prints() -> None:
    sending = {"do": "enqueue", "job": "noop", "first": 0, "count": 3, "bulk": False, "queues": ["a", "b"]}
    installed, sent, recorded = converse({"do": "install", "queues": ["a"]}, sending, {"do": "recorded"})
    assert installed["bulk"] is True
    assert sent["seconds"] >= 0
    assert recorded == {"count": 3}


def test_bulk_goes_in_batches_of_a_thousand() -> None:
    sending = {"do": "enqueue", "job": "noop", "first": 0, "count": 2001, "bulk": True, "queues": ["a"]}
    assert converse(sending, {"do": "recorded"})[1] == {"count": 3}


def test_pacing_answers_the_time_before_every_call() -> None:
    paced, _ = converse(
        {"do": "pace", "job": "noop", "first": 0, "gaps": [0.0, 0.01], "queues": ["a"]}, {"do": "recorded"}
    )
    assert paced["at"][1] - paced["at"][0] >= 0.01


def test_a_driver_that_fails_answers_the_traceback_and_lives_on() -> None:
    failed, recorded = converse({"do": "workers", "case": "drain", "queues": []}, {"do": "recorded"})
    assert "NotImplementedError" in failed["error"]
    assert recorded == {"count": 0}


def test_ratios_say_how_many_times_better_ours_is() -> None:
    outcome = Outcome([results(trial(OURS, 900.0, cpu_us=10.0), trial("rq", 300.0, cpu_us=40.0))])
    assert {row.peer: row.ratio for row in outcome.rows("drain", RATE)} == {OURS: None, "rq": 3.0}
    assert {row.peer: row.ratio for row in outcome.rows("drain", METRICS["drain"][1])} == {OURS: None, "rq": 4.0}


def test_a_slow_peer_with_fewer_jobs_is_held_against_our_next_larger_drain() -> None:
    ours = [trial(OURS, 900.0), trial(OURS, 1200.0, variant="100,000")]
    outcome = Outcome([results(*ours, trial("rq", 300.0, variant="5,000"))])
    assert outcome.rows("drain", RATE)[2].ratio == 3.0


def test_a_figure_that_never_came_is_shown_as_never() -> None:
    late = trial("dramatiq", 0.0, case="delayed", late_ms=None)
    text = "\n".join(tables(Outcome([results(late)])))
    assert "| Dramatiq | -p 2 | 20,000 | never | 0 |  |" in text


def test_tables_show_median_range_star_and_failures() -> None:
    clean, loud = trial(OURS, 1234.5), trial("rq", 2.0, foreign=1.0)
    failed = {"peer": "huey", "case": "drain", "variant": "20,000", "error": "huey: 3 lost\nlog"}
    text = "\n".join(tables(Outcome([results(clean, loud, failed)])))
    assert "| Callboard | -p 2 | 20,000 | 1,234 (1,234 to 1,234) | 1 |  |" in text
    assert "| RQ | -p 2 | 20,000 | 2* (2 to 2) | 1 | 617.25 |" in text
    assert "FAILED drain 20,000 huey: huey: 3 lost" in text


def test_files_of_two_machines_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="different machines"):
        Outcome([results(), results(cpus=64)])


def test_files_of_one_machine_are_put_together() -> None:
    outcome = Outcome([results(trial("rq", 1.0)), results(trial("rq", 3.0), scale=0.5)])
    assert outcome.rows("drain", RATE)[0].summary == (2.0, 1.0, 3.0, 2, False)
    assert outcome.scale == 0.5


def test_the_picture_takes_the_largest_drain_and_marks_who_recorded_every_run() -> None:
    trials = [
        trial(OURS, 10.0, recorded=20_000), trial(OURS, 40.0, variant="100,000", recorded=100_000),
        trial("oban", 30.0, recorded=19_999), trial("dramatiq", 50.0),
    ]  # fmt: skip
    bars = drain_bars(Outcome([results(*trials)]))
    assert [(bar.label, bar.value, bar.recorded, bar.ours) for bar in bars] == [
        ("Dramatiq", 50.0, False, False), ("Callboard", 40.0, True, True), ("Oban for Python", 30.0, False, False),
    ]  # fmt: skip


def test_the_picture_is_svg_with_bars_in_proportion() -> None:
    bars = [Bar("Us & co", 100.0, 90.0, 125.0, recorded=True, ours=True), Bar("b", 50.0, 50.0, 50.0, False, False)]
    picture = ET.fromstring(draw(bars, title='"No-op"', caption="<here>"))  # noqa: S314 - our own text
    ours, other = picture.iter("{http://www.w3.org/2000/svg}rect")
    assert float(ours.attrib["width"]) == pytest.approx(2 * float(other.attrib["width"]), rel=0.01)
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}circle"))) == 2  # the legend's and ours
    assert {"Us & co", "100", "<here>", '"No-op"'} <= {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}  # fmt: skip  # noqa: E501
    right = [float(element.attrib["x2"]) for element in picture.iter("{http://www.w3.org/2000/svg}line")]
    assert max(right) <= float(picture.attrib["width"])


@pytest.mark.parametrize("bars", [[], [Bar("a", 0.0, 0.0, 0.0, recorded=False, ours=True)]])
def test_a_picture_of_nothing_is_refused(bars: list[Bar]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        draw(bars, title="", caption="")


def test_numbers_have_three_digits_or_are_whole() -> None:
    assert [number(value) for value in (14465.4, 99.96, 0.2434, 2.0)] == ["14,465", "100", "0.243", "2"]


def test_unknown_peers_and_cases_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--peers", "callboard,sidekiq"])
    assert "sidekiq is not among callboard" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        arguments(["--cases", ""])


def test_every_peer_takes_part_in_every_case_but_those_it_cannot() -> None:
    cases: dict[str, list[str]] = {case.name: [] for case in plan()}
    for case in plan():
        cases[case.name] += [peer for peer, entrant in ALL.items() if case.fits(entrant)]
    for name in ("enqueue", "drain", "sleep", "latency", "idle"):
        assert set(cases[name]) == set(ALL)
    assert set(cases["delayed"]) == {OURS, "dramatiq"}
    assert set(cases["ledger"]) == {OURS}


def test_every_peer_pins_what_it_installs() -> None:
    for entrant in ALL.values():
        files = {path.name for path in entrant.path.iterdir() if path.is_file()}
        assert {"app.py", "driver.py"} <= files
        if entrant.name != OURS:
            pins = Path(entrant.path, "requirements.txt").read_text(encoding="utf-8").splitlines()
            assert all("==" in pin or pin.startswith("#") for pin in pins)


def test_a_trial_is_told_in_one_line() -> None:
    told = line(trial("rq", 1234.5, foreign=0.4), 3.0)
    assert "rq" in told
    assert "* jobs_per_second 1,234" in told
    assert "FAILED: lost" in line({**trial("rq", 1.0), "error": "lost"}, 3.0)
