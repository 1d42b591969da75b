//! The tests of each threat of docs/TRUST.md: the place to start when reviewing a defence.
//!
//! This file fails if a listed test is renamed or removed, and if a threat has no test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Each threat, and its tests: file, test.
const THREATS: [(&str, &[(&str, &str)]); 23] = [
    (
        "cloned seal",
        &[
            ("tests/api/rights/threats.rs", "cloned_seal"),
            ("tests/api/marking_codes.rs", "a_code_that_names_our_key_and_was_not_signed_with_it_is_refused"),
            ("tests/api/harvests.rs", "sixty_four_harvests_with_one_seal_make_one_log"),
            ("src/timber/seal/signing.rs", "a_changed_code_is_forged_and_a_foreign_one_unknown"),
        ],
    ),
    (
        "seal replayed after removal",
        &[
            ("tests/api/rights/threats.rs", "seal_replayed_after_removal"),
            ("tests/api/seal_replacement.rs", "a_replaced_seal_is_void_by_an_event_of_its_batch"),
            ("tests/api/seal_replacement.rs", "a_check_of_the_old_seal_reports_it_void"),
        ],
    ),
    (
        "insider edits",
        &[
            ("tests/alterations/columns.rs", "insider_edits_of_every_column_are_found_and_named"),
            ("tests/alterations/guards.rs", "what_stands_before_the_rows_is_found"),
            ("tests/cluster.rs", "fsck_finds_roles_and_settings_that_are_not_as_set_up"),
            ("tests/alterations/insider.rs", "insider_deletes_the_last_event"),
            ("tests/alterations/insider.rs", "insider_deletes_an_event_in_the_middle"),
            ("tests/alterations/insider.rs", "insider_inserts_an_event"),
            ("tests/alterations/insider.rs", "insider_swaps_two_events"),
            ("tests/alterations/insider.rs", "insider_recomputes_a_chain"),
            ("tests/alterations/insider.rs", "insider_drops_a_leaf"),
            ("tests/alterations/long.rs", "an_event_altered_lost_or_doubled_at_the_edge_of_a_page_is_named"),
            ("tests/alterations/long.rs", "an_event_invented_at_the_edge_of_a_page_is_named"),
            ("tests/alterations/long.rs", "a_marking_key_in_use_is_missed"),
            ("tests/alterations/marking_key.rs", "marking_keys_from_before_are_taken_in_once"),
            ("tests/alterations/insider.rs", "insider_reorders_leaves"),
            ("tests/api/integrity/evidence.rs", "events_cannot_be_changed_removed_or_truncated"),
            ("tests/api/proofs.rs", "an_insiders_edit_of_a_published_event_is_named_by_the_verifier"),
            (
                "tests/alterations/public.rs",
                "every_altered_column_of_every_published_record_is_named_from_public_data_alone",
            ),
            ("tests/verifier/mutation.rs", "every_alteration_is_found_and_its_event_named"),
        ],
    ),
    (
        "old backup restored",
        &[
            ("tests/alterations/insider.rs", "old_backup_restored"),
            ("tests/api/publish.rs", "an_old_backup_is_refused"),
            ("tests/program/register.rs", "the_published_register_is_served_and_a_lost_database_refused"),
        ],
    ),
    (
        "two histories shown",
        &[
            ("tests/verifier/main.rs", "two_histories_shown"),
            ("tests/alterations/insider.rs", "two_histories_shown"),
            ("tests/program/verify.rs", "verify_accepts_what_a_server_returns_and_nothing_altered"),
            ("src/evidence/register/witness_tests.rs", "a_fork_and_a_rollback_are_not"),
        ],
    ),
    (
        "record dropped before sequencing",
        &[
            ("tests/api/register.rs", "record_dropped_before_sequencing"),
            ("tests/verifier/main.rs", "a_receipt_shows_what_was_dropped_before_it_was_sequenced"),
            ("tests/program/verify.rs", "verify_accepts_what_a_server_returns_and_nothing_altered"),
        ],
    ),
    (
        "stolen or revoked key",
        &[
            ("tests/api/rights/threats.rs", "stolen_or_revoked_key"),
            ("tests/api/organizations.rs", "a_revoked_key_fails_at_once_and_an_expired_one_on_time"),
            (
                "tests/api/load/hot_reads.rs",
                "an_answer_is_never_older_than_a_write_whichever_instance_took_it",
            ),
        ],
    ),
    (
        "stolen or left open session of the desk",
        &[
            ("tests/api/desk/sessions.rs", "a_session_ends_with_its_key_and_by_its_time"),
            ("tests/api/desk/sessions.rs", "my_sessions_are_listed_and_ended_one_by_one_or_all"),
            ("tests/api/desk/sessions.rs", "the_database_has_no_secret_and_a_forged_cookie_opens_nothing"),
        ],
    ),
    (
        "form that another site sends to the desk",
        &[
            ("tests/api/desk/sessions.rs", "a_form_of_another_site_is_refused"),
            ("tests/whole/desk.rs", "a_page_of_another_site_signs_nobody_out"),
        ],
    ),
    (
        "back-dating",
        &[
            ("tests/api/rights/threats.rs", "back_dating"),
            (
                "tests/api/custody_events.rs",
                "a_late_device_event_is_accepted_and_the_present_state_is_unchanged",
            ),
            ("tests/api/custody_events.rs", "received_at_never_falls_when_the_clock_is_set_back"),
        ],
    ),
    (
        "enumeration of codes",
        &[
            ("tests/api/histories.rs", "missing_and_foreign_logs_get_the_same_bytes"),
            ("tests/api/load/hot_reads.rs", "round_trips_of_each_read"),
            (
                "tests/api/load/hot_reads.rs",
                "foreign_and_missing_subjects_take_the_same_number_of_statements",
            ),
            ("tests/api/exports.rs", "missing_and_foreign_subjects_are_answered_alike"),
            ("tests/api/verify.rs", "misses_are_limited_by_address_and_not_for_callers_with_a_token"),
            ("tests/api/proofs.rs", "all_but_codes_of_logs_get_the_same_404_and_count_as_misses"),
            ("src/http/core/limit.rs", "never_more_misses_than_the_rate_allows"),
        ],
    ),
    (
        "flood of the public check",
        &[
            ("tests/api/rights/threats.rs", "flood_of_the_public_check"),
            ("tests/server.rs", "a_flood_of_public_checks_leaves_capacity_for_other_requests"),
        ],
    ),
    (
        "reads and writes across organisations",
        &[
            ("tests/api/rights/matrix.rs", "each_role_gets_what_the_contract_says"),
            ("tests/api/rights/matrix.rs", "every_route_has_a_row_and_every_row_a_route"),
            ("tests/api/rights/matrix.rs", "a_bad_token_is_401_on_every_route"),
            ("tests/api/exports.rs", "a_holder_of_part_of_a_batch_sees_only_the_events_of_its_seals"),
            ("tests/api/exports.rs", "key_events_are_disclosed_to_those_who_may_list_the_keys"),
        ],
    ),
    (
        "inspector or operator in its own case",
        &[
            ("tests/api/organization_changes.rs", "no_inspector_decides_in_its_own_case"),
            ("tests/api/organization_changes.rs", "no_inspector_seizes_or_finds_in_its_own_case"),
            ("tests/api/organization_changes.rs", "supervision_and_timber_are_not_combined"),
        ],
    ),
    (
        "sale by a suspended organisation",
        &[
            ("tests/api/organization_changes.rs", "no_sale_is_recorded_after_the_suspension_of_its_seller"),
            (
                "tests/api/organization_changes.rs",
                "a_suspended_organisation_reads_and_ends_what_is_under_way",
            ),
            (
                "tests/api/organization_changes.rs",
                "an_offer_of_a_suspended_organisation_is_accepted_with_a_finding",
            ),
            ("tests/api/organization_changes.rs", "nothing_is_given_to_a_suspended_organisation"),
            ("tests/api/rights/matrix.rs", "a_suspended_organisation_writes_nothing_but_what_is_listed"),
        ],
    ),
    (
        "races",
        &[
            ("tests/api/custody_events.rs", "sixty_four_transfers_at_once_leave_one"),
            ("tests/api/custody_events.rs", "sixteen_writers_on_one_log_make_one_chain"),
            ("tests/api/seals.rs", "of_64_at_once_one_wins_and_the_chain_holds"),
            ("tests/api/harvests.rs", "harvests_and_corrections_at_once_never_overdraw_a_line"),
            ("tests/api/organization_changes.rs", "nothing_is_given_to_an_organisation_that_loses_its_roles"),
        ],
    ),
    (
        "CSV formula injection",
        &[
            ("tests/api/rights/threats.rs", "csv_formula_injection"),
            ("src/base/input/tests/sheet.rs", "formulas_are_disarmed_and_numbers_left_alone"),
        ],
    ),
    (
        "script in any text field",
        &[
            ("tests/whole/browser.rs", "script_in_every_text_runs_nowhere"),
            ("tests/pages.rs", "script_in_any_text_is_only_text"),
        ],
    ),
    (
        "hostile JSON",
        &[
            ("src/base/input/tests/json.rs", "nesting_ends_at_32"),
            ("src/base/input/tests/json.rs", "values_are_counted"),
            ("src/base/input/tests/json.rs", "keys_are_compared_in_objects_of_every_size"),
            ("src/base/input/tests/json.rs", "survives_any_bytes"),
            ("tests/server.rs", "a_body_has_its_limit_and_a_batch_a_larger_one"),
        ],
    ),
    (
        "zip bomb",
        &[
            ("tests/server.rs", "gzip_is_unpacked_for_batches_and_a_bomb_does_not_go_off"),
            ("src/http/core/body.rs", "a_bomb_is_counted_unpacked"),
        ],
    ),
    (
        "slow headers and bodies",
        &[
            ("tests/server.rs", "dripped_headers_and_idle_connections_are_let_go"),
            ("tests/server.rs", "a_body_that_stops_or_drips_is_408"),
            ("tests/server.rs", "a_peer_that_reads_nothing_is_disconnected"),
            ("tests/whole/peers.rs", "slow_peers_are_disconnected_and_others_are_served"),
        ],
    ),
    (
        "error leaks",
        &[
            ("src/http/core/problem.rs", "a_cause_is_for_the_log_alone"),
            ("tests/server.rs", "a_panic_is_a_500_without_details_and_the_server_goes_on"),
            ("tests/server.rs", "what_the_framework_refuses_is_a_problem_too"),
        ],
    ),
    (
        "log injection",
        &[
            ("src/base/telemetry.rs", "a_caller_cannot_write_a_line_of_his_own"),
            ("src/http/core/layers.rs", "a_cause_is_logged_once_with_its_request_and_nothing_of_the_callers"),
        ],
    ),
];

/// The tests in a source: functions directly below a test attribute, without `#[ignore]`.
fn tests_in(source: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let (mut is_test, mut left_out) = (false, false);
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[ignore") {
            left_out = true;
        } else if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else if let Some((_, named)) = line.split_once("fn ").filter(|_| is_test) {
            if !left_out {
                found.extend(named.split(['(', '<']).next());
            }
            (is_test, left_out) = (false, false);
        } else if !line.is_empty() && !line.starts_with("//") {
            (is_test, left_out) = (false, false);
        }
    }
    found
}

fn read(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_test_of_a_threat_exists() {
    let mut sources: BTreeMap<&str, String> = BTreeMap::new();
    for (threat, tests) in THREATS {
        assert!(!tests.is_empty(), "{threat}: has no test");
        for (file, test) in tests {
            let source = sources.entry(file).or_insert_with(|| read(file));
            assert!(tests_in(source).contains(test), "{threat}: {file} has no test {test}");
        }
    }
}

#[test]
fn every_threat_of_the_page_has_tests_and_no_other_is_listed() {
    let page = read("docs/TRUST.md");
    let section = page.split("\n## Threats\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("its end");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")).skip(1);
    let told: Vec<&str> = rows.filter_map(|row| row.split(" |").next()).collect();
    let tried: Vec<&str> = THREATS.iter().map(|(threat, _)| *threat).collect();
    assert_eq!(told, tried);
}

#[test]
fn only_functions_with_a_test_attribute_count() {
    let source = "\
#[test]
fn a_fork_is_found() {}
fn helper() {}
#[tokio::test(flavor = \"multi_thread\")]
#[expect(clippy::all)]
async fn a_flood_is_borne() {}
// #[test]
fn gone() {}
#[test]
#[ignore = \"too slow\"]
fn left_out() {}
";
    assert_eq!(tests_in(source), BTreeSet::from(["a_fork_is_found", "a_flood_is_borne"]));
}
