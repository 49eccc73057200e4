//! Older brokers: the oldest that the original promised (no transactions, no leader epochs, no topic ids, no API
//! versions), and the last of the line before the current one.

use crate::case::Case;
use crate::harness::{Database, Version, kafka, on_each_database};

const JOB: &str = "VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
    VALUE:
      COLUMNS:
        - {NAME: part, TYPE: int}
        - {NAME: seq, TYPE: int}
      FORMAT: csv
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: rows
  COMMIT:
    MINIMAL_INTERVAL: 500
  PROPERTIES:
    api.version.request: false
    broker.version.fallback: 0.10.0
";

on_each_database! {
    fn the_oldest_loads_and_resumes(db) {
        loads_and_resumes(db, Version::V0_10_0_1, JOB);
    }

    fn the_last_of_the_line_before_loads_and_resumes(db) {
        let (job, _) = JOB.split_once("  PROPERTIES:").unwrap();
        loads_and_resumes(db, Version::V3_9_1, job);
    }
}

fn loads_and_resumes(db: &Database, version: Version, job: &str) {
    let case = Case::on(db, kafka(version), "old", 2);
    case.table("rows (part int, seq int)", "seq");
    let produce = |from: u32| {
        for partition in 0..2 {
            case.topic.produce(partition, (from..from + 5000).map(|sequence| format!("{partition},{sequence}")));
        }
    };
    let job = case.job(job);
    produce(0);
    case.load(&job).expect_text("-Inserted 10000 rows").expect_text("-Partition 1 at offset 4999");
    produce(5000);
    case.load(&job).expect_text("-Inserted 10000 rows").expect_text("-Partition 1 at offset 9999");
    case.load(&job).expect_text("-Inserted 0 rows");
    let sql = "SELECT part, count(*), count(DISTINCT seq), max(seq) FROM $SCHEMA.rows GROUP BY 1 ORDER BY 1";
    assert_eq!(case.rows(sql), ["0|10000|10000|9999", "1|10000|10000|9999"]);
    case.load_with(&job, &["--force-reset-earliest"]).expect_text("-Inserted 20000 rows");
    case.load_with(&job, &["--force-reset-latest"]).expect_text("-Inserted 0 rows");
}
