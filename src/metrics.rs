//! Counters that every stage may bump and that `--debug-port` and the live line read. Names follow Prometheus.

use prometheus::{Counter, CounterVec, IntCounter, IntGauge, Opts, Registry, TextEncoder};

/// One job's counters, registered once. Clones share them; a bump is one atomic add.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    /// 1 while the job reads and commits, 0 while it starts or waits to try again.
    pub up: IntGauge,
    /// Records taken from Kafka, rejected ones too.
    pub records_read: IntCounter,
    /// Key and payload bytes of those records.
    pub source_bytes: IntCounter,
    /// Rows that left for segments.
    pub rows_sent: IntCounter,
    /// Bytes of rows that left for segments.
    pub bytes_sent: IntCounter,
    /// Rows in the target, committed.
    pub rows_inserted: IntCounter,
    /// Records refused by the decoder or by segments, committed.
    pub rows_rejected: IntCounter,
    /// Rows that the job's filter dropped, committed.
    pub rows_filtered: IntCounter,
    /// Batches committed.
    pub batches_committed: IntCounter,
    /// Batches rolled back.
    pub batches_failed: IntCounter,
    /// Segment connections that are open.
    pub segments_connected: IntGauge,
    /// Connections that were refused with 4xx.
    pub scans_refused: IntCounter,
    /// Records between the positions read and the ends of the partitions.
    pub lag_records: IntGauge,
    /// Bytes out on permits of the memory budget.
    pub memory_bytes: IntGauge,
    /// Where the time went.
    pub seconds: Seconds,
}

/// Seconds of each worker, of each segment's connection, and of the session that loads; added up over all of them.
#[derive(Debug, Clone)]
pub struct Seconds {
    /// Making rows of records.
    pub worker_busy: Counter,
    /// Nothing came from Kafka.
    pub worker_waits_for_kafka: Counter,
    /// The blocks that are made filled the memory: segments take them too slowly.
    pub worker_waits_for_memory: Counter,
    /// The loop that deals blocks out was behind.
    pub worker_waits_for_loop: Counter,
    /// A segment, or the network to it, had rows to take.
    pub segment_taking: Counter,
    /// A segment had taken all that there was.
    pub segment_waits_for_rows: Counter,
    /// Of a scan's time, how long a segment at least waited for rows.
    pub scan_waits_for_rows: Counter,
    /// Inside the statement that loads a batch.
    pub database_insert: Counter,
    /// Inside COMMIT, what stands before it (dead letters, ledger, the user's own SQL), and the target's first ANALYZE.
    pub database_commit: Counter,
    /// Between two batches.
    pub database_idle: Counter,
}

impl Seconds {
    fn of(vec: &CounterVec) -> Self {
        let of = |stage: &str, spent: &str| vec.with_label_values(&[stage, spent]);
        Self {
            worker_busy: of("worker", "busy"),
            worker_waits_for_kafka: of("worker", "waits_for_kafka"),
            worker_waits_for_memory: of("worker", "waits_for_memory"),
            worker_waits_for_loop: of("worker", "waits_for_loop"),
            segment_taking: of("segment", "taking"),
            segment_waits_for_rows: of("segment", "waits_for_rows"),
            scan_waits_for_rows: of("scan", "waits_for_rows"),
            database_insert: of("database", "insert"),
            database_commit: of("database", "commit"),
            database_idle: of("database", "idle"),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("metric names are constants and valid");
            registry.register(Box::new(counter.clone())).expect("each name is registered once");
            counter
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help).expect("metric names are constants and valid");
            registry.register(Box::new(gauge.clone())).expect("each name is registered once");
            gauge
        };
        let help = "Time of workers, segment connections and the loading session, by what it was spent on.";
        let seconds = CounterVec::new(Opts::new("gpkafka_seconds_total", help), &["stage", "spent"]);
        let seconds = seconds.expect("metric names are constants and valid");
        registry.register(Box::new(seconds.clone())).expect("each name is registered once");
        Self {
            seconds: Seconds::of(&seconds),
            up: gauge("gpkafka_up", "1 while the job reads and commits, 0 while it starts or waits to try again."),
            records_read: counter("gpkafka_records_read_total", "Records taken from Kafka."),
            source_bytes: counter("gpkafka_source_bytes_total", "Key and payload bytes taken from Kafka."),
            rows_sent: counter("gpkafka_rows_sent_total", "Rows sent to segments."),
            bytes_sent: counter("gpkafka_bytes_sent_total", "Bytes of rows sent to segments."),
            rows_inserted: counter("gpkafka_rows_inserted_total", "Rows inserted and committed."),
            rows_rejected: counter("gpkafka_rows_rejected_total", "Records rejected, in committed batches."),
            rows_filtered: counter("gpkafka_rows_filtered_total", "Rows dropped by the filter, in committed batches."),
            batches_committed: counter("gpkafka_batches_committed_total", "Batches committed."),
            batches_failed: counter("gpkafka_batches_failed_total", "Batches rolled back."),
            segments_connected: gauge("gpkafka_segments_connected", "Segment connections that are open."),
            scans_refused: counter("gpkafka_scans_refused_total", "Segment requests answered with an error."),
            lag_records: gauge("gpkafka_lag_records", "Records not yet read, over all partitions."),
            memory_bytes: gauge("gpkafka_memory_bytes", "Bytes out on permits of the memory budget."),
            registry,
        }
    }
}

impl Metrics {
    /// All of them in the Prometheus text form.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_carries_the_counts() {
        let metrics = Metrics::default();
        metrics.rows_inserted.inc_by(7);
        assert!(metrics.text().contains("gpkafka_rows_inserted_total 7"));
    }
}
