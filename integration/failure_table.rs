//! What can go wrong, what then happens, and the tests that hold it: `file::test` of this folder, or of `src` by its
//! path. A table to read, and to find what to run; that each test is there is a test of its own.

/// A failure, what happens, and who holds it.
type Row = (&'static str, &'static str, &'static [&'static str]);

const TABLE: [Row; 35] = [
    (
        "a loader stands still (SIGSTOP, a paused machine) and comes back",
        "its successor has the job; the ledger's unique key and chain refuse what the old one had in hand",
        &[
            "crash::a_stopped_loader_is_succeeded_and_knows_it",
            "crash::a_stopped_loader_knows_of_a_successor_that_has_ended",
            "fence::a_loader_that_rests_before_commit_makes_its_successor_wait",
        ],
    ),
    (
        "a loader is killed",
        "the next start goes on from the ledger",
        &["crash::a_killed_loader_neither_loses_nor_doubles", "kill_matrix::mod::one_fault_at_each_point_costs_no_row"],
    ),
    (
        "COMMIT has no reply",
        "the old session is ended, then the ledger tells whether it came through",
        &["crash::a_commit_without_reply_is_looked_up", "crash::a_commit_that_is_late_comes_too_late"],
    ),
    (
        "two or three loaders of one job",
        "one loads; the ledger keeps them apart even if nothing else does",
        &[
            "fence::a_second_load_stands_back_and_says_who_has_the_job",
            "fence::three_loaders_at_once_are_kept_apart_by_the_ledger",
        ],
    ),
    (
        "records expire before they are loaded",
        "the load ends and says how many offsets; FALLBACK_OFFSET goes on and counts them",
        &["topics::what_expired_before_a_start_is_counted", "topics::what_expires_while_running_is_counted"],
    ),
    ("the position is behind the end of the log", "the load ends", &["topics::an_offset_above_the_end_is_refused"]),
    (
        "an unclean election cuts the log off below what was loaded",
        "the load ends and says how many offsets are gone, also where others were written in their place; after a batch \
         whose last offset bears no record (a transaction's marker, a hole) that is noticed only while the topic is shorter",
        &[
            "brokers::a_log_that_an_unclean_election_cuts_off_ends_the_load",
            "src/kafka/assignment::a_log_that_was_cut_off_below_us_is_told",
        ],
    ),
    (
        "the topic is deleted and made anew",
        "the load ends; a flag accepts the new one",
        &["topics::a_topic_made_anew_is_another_topic", "topics::a_topic_made_anew_while_running_ends_the_load"],
    ),
    (
        "partitions are added",
        "they are found, and read from their beginning",
        &[
            "topics::new_partitions_are_found_and_read_from_their_beginning",
            "kafka_consumer::partitions_that_are_added_are_found_and_read_from_their_beginning",
        ],
    ),
    (
        "transactions are aborted, control records",
        "never loaded; the position goes past them",
        &[
            "topics::aborted_records_are_not_loaded_and_open_ones_are_waited_for",
            "kafka_consumer::only_committed_records_are_read_and_the_end_is_the_last_stable_offset",
        ],
    ),
    (
        "compaction leaves holes",
        "completeness is judged by position",
        &["rejects::what_segments_refuse_is_named_in_a_compacted_topic"],
    ),
    (
        "a leader moves",
        "librdkafka follows it; the load goes on",
        &[
            "src/kafka/consumer::leaders_may_move_and_fetches_may_fail",
            "brokers::leaders_that_die_and_come_back_cost_no_record",
        ],
    ),
    (
        "the broker is killed and comes back",
        "the load goes on when it does",
        &["topics::a_killed_broker_comes_back_and_the_load_goes_on"],
    ),
    (
        "the brokers do not let us read the topic",
        "the load ends, and names who may not and the command that gives the right; no right to a group is needed",
        &["kafka_security::a_right_that_is_missing_is_named_with_the_command_that_gives_it"],
    ),
    (
        "bytes of the log are damaged",
        "the load ends; nothing is passed over",
        &["topics::bytes_that_a_disk_has_changed_end_the_load"],
    ),
    (
        "a record is no row",
        "it costs one of ERROR_LIMIT, named by its offset, or is kept as a dead letter",
        &[
            "rejects::what_the_decoder_refuses_is_named_and_the_rest_loads",
            "rejects::what_segments_refuse_is_named_with_its_exact_offset",
            "dead_letters::rows_that_the_database_refuses_are_found_and_kept",
        ],
    ),
    (
        "a segment drops its connection and asks again",
        "the batch fails and is read again from Kafka",
        &["gpfdist_sessions::a_second_get_of_a_segment_is_refused_and_fails_the_session"],
    ),
    (
        "rows vanish between us and the table",
        "the row check before COMMIT fails the batch",
        &["fence::a_row_that_vanishes_on_a_segment_fails_the_batch"],
    ),
    ("a segment stalls", "the others go on", &["segments::a_segment_that_stands_still_holds_nobody_up"]),
    (
        "a loader dies while segments wait for it",
        "its successor ends their transaction",
        &["greenplum_holder::a_dead_loaders_transaction_is_ended_and_a_living_ones_is_not"],
    ),
    (
        "the session of the INSERT is ended",
        "tried again from the ledger",
        &["crash::a_lost_connection_is_tried_again_and_again_after_each_commit"],
    ),
    (
        "a process of the coordinator or a segment is killed",
        "tried again when the server has recovered",
        &["database_crash::a_segment_and_the_coordinator_of_greenplum", "database_crash::a_backend_of_postgres"],
    ),
    ("a segment is down", "tried again until it is up", &["outages::a_segment_that_is_down"]),
    (
        "the database's disk is full",
        "tried again until it is not",
        &["outages::a_full_disk_of_greenplum", "outages::a_full_disk_of_postgres"],
    ),
    (
        "the database takes a minute for a statement",
        "it is waited for",
        &["outages::a_statement_that_takes_a_minute_is_waited_for"],
    ),
    (
        "the database says no (any SQLSTATE)",
        "one table says which pass by themselves; the others end the load",
        &["src/greenplum/failure::what_can_pass_is_one_table", "crash::a_lasting_cause_ends_the_load_at_once"],
    ),
    (
        "external tables pile up",
        "made once for each definition, and used again",
        &[
            "greenplum_external::a_table_is_made_once_and_its_token_read_back",
            "greenplum_external::earlier_ones_go_when_all_their_partitions_are_held",
        ],
    ),
    (
        "segments cannot reach the loader",
        "the load ends, and names the segment, the address and the reason",
        &["wrong_inputs::an_address_with_nobody_there", "wrong_inputs::an_address_that_does_not_resolve"],
    ),
    (
        "a certificate of segments or loader is wrong, or for another name",
        "no row is sent; the load ends, and says whose certificate it is and where another belongs",
        &[
            "gpfdists::segments_by_another_authority_are_refused_and_told",
            "gpfdists::a_loader_whom_segments_do_not_trust_is_told",
            "gpfdists::a_name_that_is_not_in_the_certificate_is_told_before_and_after",
            "src/gpfdist/tls::what_is_wrong_with_a_file_is_told_in_one_line",
        ],
    ),
    (
        "somebody on the network reads, asks, or holds connections up",
        "over TLS nothing is in the clear, and who has no certificate gets nothing; guests are cut when their time is up",
        &[
            "gpfdists::a_load_goes_over_tls_and_nobody_on_the_wire_reads_a_row",
            "gpfdists_wire::without_a_certificate_by_our_authority_there_is_nothing",
            "gpfdists_wire::half_a_handshake_holds_up_nobody",
            "intruders::ten_thousand_idle_connections_stop_no_load",
        ],
    ),
    (
        "the schema registry is down, or lacks a schema",
        "waited for; a schema that there is not costs its records",
        &["avro::a_registry_that_is_down_is_waited_for", "avro::a_schema_that_there_is_not_costs_its_records_alone"],
    ),
    (
        "a record is larger than a block",
        "it gets a block of its own, within the budget",
        &[
            "memory::large_records_are_not_passed_by_for_ever",
            "kafka_consumer::large_records_pass_through_small_queues",
        ],
    ),
    ("hundreds of partitions", "one budget for all", &["outages::hundreds_of_partitions_are_loaded_and_gone_on_from"]),
    (
        "memory is short",
        "bounded in bytes, whatever waits for whom",
        &["memory::small_records_stay_inside_the_budget", "memory::large_records_stay_inside_the_budget"],
    ),
    (
        "the clock jumps",
        "order is by sequence, intervals and waits, librdkafka's too, by a monotonic clock",
        &[
            "tidy::the_wall_clock_is_read_where_a_time_of_day_is_meant",
            "clock::a_wall_clock_that_jumps_holds_up_nothing",
            "clock::a_wall_clock_that_jumps_gives_no_job_away",
        ],
    ),
];

#[test]
fn every_failure_has_its_tests() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (failure, _, tests) in TABLE {
        assert!(!tests.is_empty(), "{failure}");
        for test in tests {
            let (file, name) = test.rsplit_once("::").expect("a file and a test");
            let file = file.replace("::", "/");
            let folder = if file.starts_with("src/") { root.to_owned() } else { root.join("integration") };
            let path = folder.join(format!("{file}.rs"));
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let is_there = text.contains(&format!("fn {name}("));
            assert!(is_there, "{failure}: {} has no test {name}", path.display());
        }
    }
}
