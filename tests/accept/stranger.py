#!/usr/bin/env python3
"""`make accept-stranger`: a stranger installs it, and stays.

    stranger.py [--only ITEM…]

HEADROOM_BIN names another program than the release build; HEADROOM_IT and HEADROOM_LIB test binaries that are built already.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from scorecard import ROOT, Scorecard, binary, last_line

# 1. Lines of what was tried in the field, with the tests that keep each from coming back.

LINES = {
    9: ["lib:before_the_first_span_it_is_blind"],
    11: [
        "lib:a_minute_in_which_nothing_was_written_shows_the_state_that_held",
        "lib:what_began_and_ended_within_a_minute_is_told",
    ],
    14: ["lib:observing_without_a_cluster_says_what_it_would_do_and_what_stands_against_it"],
    15: ["lib:what_was_paused_for_a_time_ends_by_itself_and_the_rest_stays", "it:serve_lives_from_its_first_line_to_its_last_tick"],
    16: ["lib:every_problem_of_a_directory_is_told", "it:rules_that_do_not_load_are_told_before_anything_runs"],
    17: ["lib:a_verdict_that_does_not_exist_is_named_and_the_rule_runs", "lib:errors_name_the_rule_the_place_and_the_remedy"],
    18: [
        "lib:for_two_minutes_is_two_minutes_without_a_break",
        "lib:night_in_berlin_is_that_of_people_there_also_when_the_clocks_change",
        "it:every_example_of_the_documentation_runs",
    ],
    19: ["lib:an_error_with_another_number_is_no_news"],
    22: ["lib:what_is_printed_is_a_configuration"],
    23: [
        "lib:a_value_of_another_kind_hides_no_other_problem",
        "lib:two_documents_are_told_with_the_line_of_the_second",
        "lib:words_are_taken_in_any_case_and_slips_are_named",
        "lib:a_bare_one_is_no_share",
        "lib:one_port_is_given_once",
        "lib:objectives_that_hold_for_no_endpoint_are_told",
    ],
    24: ["lib:a_token_names_its_caller_and_what_they_may_do"],
    25: ["lib:the_verdict_is_whole_at_any_usual_width"],
    26: ["lib:cells_of_csv_are_quoted_where_they_must_be", "it:a_usage_error_is_one_line_and_exit_code_2", "it:completion_is_written_for_three_shells", "it:help_is_a_page"],
    27: ["lib:a_scenario_need_not_know_the_truth"],
    28: ["it:mistakes_in_values_are_rejected_by_name", "it:every_option_is_rendered_and_taken_by_the_server"],
    29: ["it:admission_policies_cover_every_kind_that_the_account_may_patch"],
    30: ["it:the_first_chart_is_upgraded_a_second_release_refused_and_nothing_left_behind"],
    31: ["it:the_collector_has_an_exporter_for_each_of_any_number_of_replicas"],
    32: ["it:the_base_is_the_chart_and_the_rules_are_those_shipped"],
    49: ["it:a_scenario_that_makes_no_sense_is_refused_with_every_reason", "lib:a_value_that_cannot_be_read_is_shown_with_its_key"],
    50: ["lib:spans_that_come_late_are_not_lost"],
}


def tests(kind, names):
    """Runs these tests of one binary: the names of those that passed, and what was said."""
    given = os.environ.get("HEADROOM_IT" if kind == "it" else "HEADROOM_LIB")
    target = ["--test", "it"] if kind == "it" else ["--lib"]
    command = [given] if given else [os.environ.get("CARGO", "cargo"), "test", "--locked", *target, "--"]
    command += ["--nocapture", "--test-threads=1", *sorted(names)]
    environment = {**os.environ, "HEADROOM_NO_SKIP": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    # What a test prints comes between its name and its result.
    passed = set()
    for part in re.split(r"^test ", done.stdout, flags=re.MULTILINE)[1:]:
        if re.search(r"\bok$", part, flags=re.MULTILINE):
            passed.add(part.split()[0].split("::")[-1])
    if done.returncode != 0:
        print(done.stdout[-4000:], done.stderr[-2000:], sep="\n", file=sys.stderr)
    return passed, done.stdout


def item_1(card):
    passed = {}
    for kind in ("lib", "it"):
        names = {name.split(":")[1] for line in LINES.values() for name in line if name.startswith(kind)}
        passed[kind], _ = tests(kind, names)
    kept = 0
    for line, names in LINES.items():
        missing = [name for name in names if name.split(":")[1] not in passed[name.split(":")[0]]]
        kept += not missing
        if missing:
            print(f"# line {line}: not passed: {', '.join(missing)}", file=sys.stderr)
    card.equal("1.lines_with_tests_that_pass", kept, "lines", len(LINES))


# 2. People.


def item_2(card):
    card.skipped(
        "2.first_finding_by_a_newcomer",
        "needs somebody who has not read the code: from the README alone, with a clock, three times; write the stumbles down",
    )


# 3. Captures.


def item_3(card):
    names = ["the_verdict_is_whole_at_any_usual_width", "colour_changes_no_text", "it_fits_whatever_the_size"]
    passed, _ = tests("lib", names)
    card.equal("3.captures_at_60_80_120_columns", len(passed), "tests", len(names))
    plain = {"TERM": "dumb", "LC_ALL": "C", "PATH": os.environ["PATH"]}
    german = {**plain, "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}
    said = []
    for environment in (plain, german):
        command = [binary(), "demo", "--scenario", "calm", "--seed", "1", "--speed", "max", "--until", "20"]
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
        said.append((done.returncode, done.stdout))
    card.equal("3.no_terminal_no_escape", said[0][1].count("\x1b") + said[0][0], "escapes", 0)
    card.equal("3.german_locale_same_text", said[0] == said[1], "-", True)


# 4. Builds.


def item_4(card):
    why = "needs a clean target folder and two quiet cores: time `make demo`, `make release`, `make dist` from nothing"
    card.skipped("4.demo_first_picture_min", why)
    card.skipped("4.release_build_min", why)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "HEADROOM_BIN": binary()}
        sums = []
        for run in ("a", "b"):
            into = pathlib.Path(folder, run)
            began = time.monotonic()
            done = subprocess.run([ROOT / "dist" / "make.sh", into], env=environment, capture_output=True, text=True)
            if done.returncode != 0:
                card.failed("4.dist", last_line(done.stderr))
                return
            seconds = time.monotonic() - began
            sums.append((into / "SHA256SUMS").read_text())
            if run == "b":
                break
            card.figure("4.dist_of_a_built_binary", seconds, "s", "printed", True)
            size = int(re.search(r"binary (\d+) bytes, stripped", done.stdout).group(1))
            card.figure("4.binary_stripped", size / 1e6, "MB", "printed", True)
            check = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=into)
            card.equal("4.checksums_hold", check.returncode, "exit_code", 0)
            package = next(into.glob("*.deb"))
            listed = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True).stdout
            wanted = ["usr/bin/headroom", "man1/headroom.1.gz", "completions/headroom", "vendor-completions/_headroom",
                      "vendor_completions.d/headroom.fish", "system/headroom.service", "etc/headroom/headroom.yaml"]
            card.equal("4.deb_holds", sum(f"{name}\n" in listed for name in wanted), "files", len(wanted))
            bill = json.loads(next(into.glob("*.cdx.json")).read_text())
            product = bill["metadata"]["component"]["hashes"][0]["content"]
            known = {component["bom-ref"] for component in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
            loose = [on for of in bill["dependencies"] for on in of["dependsOn"] if on not in known]
            card.at_least("4.sbom_components", len(bill["components"]), "crates", 100)
            is_sound = product == hashlib.sha256(pathlib.Path(binary()).read_bytes()).hexdigest() and not loose
            card.equal("4.sbom_is_of_this_binary", is_sound, "-", True)
        card.equal("4.dist_is_reproducible", sums[0] == sums[1], "-", True)


# 5. Looking back on a week.


def item_5(card):
    passed, out = tests("it", ["a_week_of_twelve_incidents"])
    counted = re.search(r"MEASURE report\.classified_rightly (\d+)", out)
    if counted and passed:
        card.equal("5.classified_rightly", int(counted.group(1)), "incidents", 12)
    else:
        card.failed("5.classified_rightly", "the test of the week did not pass")


# 6. The chart.


def item_6(card):
    names = [
        "mistakes_in_values_are_rejected_by_name",
        "the_first_chart_is_upgraded_a_second_release_refused_and_nothing_left_behind",
        "whoever_removes_headroom_gets_back_what_it_holds_and_nothing_of_others",
        "admission_policies_cover_every_kind_that_the_account_may_patch",
    ]
    passed, out = tests("it", names)
    measured = dict(re.findall(r"MEASURE chart\.(\S+) (\d+)", out))
    number = lambda name: int(measured[name]) if name in measured else None
    card.at_least("6.mistakes_rejected_by_name", number("mistakes_rejected_by_name") or 0, "mistakes", 20)
    card.equal("6.left_behind", number("left_behind"), "objects", 0)
    card.equal("6.tests", len(passed & set(names)), "tests", len(names))


ITEMS = {1: item_1, 2: item_2, 3: item_3, 4: item_4, 5: item_5, 6: item_6}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", choices=ITEMS, default=list(ITEMS))
    wanted = parser.parse_args().only
    card = Scorecard("stranger")
    for item in wanted:
        try:
            ITEMS[item](card)
        except (OSError, ValueError, AttributeError, StopIteration, subprocess.SubprocessError) as error:
            card.failed(f"{item}.ran", repr(error))
    return card.finish()


if __name__ == "__main__":
    sys.exit(main())
