//! The original's worked examples, with the rows, lines and offsets that it gives. Files are as their authors wrote
//! them, so that both versions and both forms of MAPPING are used.

use crate::case::Case;
use crate::harness::{Database, Loader, SOON, on_each_database, wait_until};

/// The vendor tutorial's messages.
const EXPENSES: [&str; 9] = [
    r#""1313131","12","1313.13""#,
    r#""3535353","11","761.35""#,
    r#""7979797","10","4489.00""#,
    r#""7979797","11","18.72""#,
    r#""3535353","10","6001.94""#,
    r#""7979797","12","173.18""#,
    r#""1313131","10","492.83""#,
    r#""3535353","12","81.12""#,
    r#""1313131","11","368.27""#,
];

const T1: &str = "KAFKA:
   INPUT:
     SOURCE:
        BROKERS: $BROKERS
        TOPIC: $TOPIC
     COLUMNS:
        - NAME: cust_id
          TYPE: int
        - NAME: __IGNORED__
          TYPE: int
        - NAME: expenses
          TYPE: decimal(9,2)
     FORMAT: csv
     ERROR_LIMIT: 125
   OUTPUT:
     SCHEMA: $SCHEMA
     TABLE: data_from_kafka
     MAPPING:
        - NAME: customer_id
          EXPRESSION: cust_id
        - NAME: expenses
          EXPRESSION: expenses
        - NAME: tax_due
          EXPRESSION: expenses * .0725
   COMMIT:
     MINIMAL_INTERVAL: 2000
";

fn t1(db: &Database) -> (Case<'_>, String) {
    let case = Case::new(db, "t1", 1);
    case.table("data_from_kafka (customer_id int8, expenses decimal(9,2), tax_due decimal(7,2))", "customer_id");
    case.topic.produce(0, EXPENSES);
    let job = case.job(T1);
    (case, job)
}

on_each_database! {
    fn t1_csv_with_ignored_and_computed_columns(db) {
        let (case, job) = t1(db);
        let outcome = case.load(&job);
        let rows = case.rows("SELECT * FROM $SCHEMA.data_from_kafka ORDER BY customer_id, expenses");
        assert_eq!(rows, [
            "1313131|368.27|26.70", "1313131|492.83|35.73", "1313131|1313.13|95.20",
            "3535353|81.12|5.88", "3535353|761.35|55.20", "3535353|6001.94|435.14",
            "7979797|18.72|1.36", "7979797|173.18|12.56", "7979797|4489.00|325.45",
        ]);
        t1_lines(&case, outcome.stdout.lines().collect());
        let log = std::fs::read_dir(outcome.dir.join("gpAdminLogs")).unwrap().next().unwrap().unwrap();
        assert!(log.file_name().to_str().unwrap().starts_with("gpkafka_"), "{log:?}");
        assert!(std::fs::read_to_string(log.path()).unwrap().contains("-[INFO]:-Inserted 9 rows"));
        // The size of a batch counts a line end a message, as the original does.
        let sizes: Vec<String> = outcome.batches().iter().map(|batch| batch[2..6].join(" ")).collect();
        assert_eq!(sizes, ["9 217 9 0", "0 0 0 0"], "{}", outcome.text());
    }

    fn t2_resume_and_resets(db) {
        let (case, job) = t1(db);
        let count = || case.count("data_from_kafka");
        case.load(&job);
        assert_eq!(count(), 9);
        case.load(&job).expect_text("-Inserted 0 rows");
        assert_eq!(count(), 9);
        case.topic.produce(0, [r#""1","1","100.00""#]);
        case.load(&job).expect_text("-Inserted 1 rows").expect_text("-Partition 0 at offset 9");
        assert_eq!(count(), 10);
        case.load_with(&job, &["--force-reset-earliest"]).expect_text("-Inserted 10 rows");
        assert_eq!(count(), 20);
        case.load_with(&job, &["--force-reset-latest"]).expect_text("-Inserted 0 rows");
        assert_eq!(count(), 20);
        // A reset is committed: what comes next goes on from it.
        case.topic.produce(0, [r#""2","1","200.00""#]);
        case.load(&job).expect_text("-Inserted 1 rows").expect_text("-Partition 0 at offset 10");
        assert_eq!(count(), 21);
    }

    fn t2_reset_to_latest_skips_what_is_there(db) {
        let (case, job) = t1(db);
        case.load_with(&job, &["--force-reset-latest"]).expect_text("-Inserted 0 rows");
        case.load(&job).expect_text("-Inserted 0 rows");
        case.load_with(&job, &["--force-reset-timestamp", "0"]).expect_text("-Inserted 9 rows");
        case.load_with(&job, &["--force-reset-timestamp", "4102444800000"]).expect_text("-Inserted 0 rows");
        assert_eq!(case.count("data_from_kafka"), 9);
    }

    fn t3_whole_json_without_columns_and_mapping(db) {
        let case = Case::new(db, "t3", 1);
        case.table("single_json_column (value json)", "");
        let document = r#"{"cust_id": 123, "month": 9, "amount_paid": 456.78}"#;
        case.topic.produce(0, [document]);
        case.load(&case.job("KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
    FORMAT: json
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: single_json_column
  COMMIT:
    MINIMAL_INTERVAL: 1000
"));
        assert_eq!(case.rows("SELECT * FROM $SCHEMA.single_json_column"), [document]);
    }

    fn t4_whole_json_into_another_name(db) {
        let case = Case::new(db, "t4", 1);
        case.table("simplejson (data json)", "");
        let document = |day: u32| format!(r#"{{"high": {day}.5, "close": {day}.25, "open": {day}, "low": 0.5}}"#);
        case.topic.produce(0, (0..10).map(document));
        case.load(&case.job("VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
      FALLBACK_OFFSET: earliest
    VALUE:
      COLUMNS:
        - NAME: c1
          TYPE: json
      FORMAT: json
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: simplejson
    MAPPING:
      data: c1
"));
        let expected: Vec<String> = (0..10).map(document).collect();
        assert_eq!(case.rows("SELECT data FROM $SCHEMA.simplejson ORDER BY (data->>'open')::int"), expected);
    }

    fn t5_json_fields_and_a_defaulted_column(db) {
        let case = Case::new(db, "t5", 1);
        case.table("sensors (device text, humidity float, temperature float, experiment smallint DEFAULT 1, time timestamp)", "device");
        case.topic.produce(0, (0..10).map(sensor));
        case.load(&case.job("VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
      FALLBACK_OFFSET: earliest
    VALUE:
      COLUMNS:
        - NAME: data
          TYPE: json
      FORMAT: json
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: sensors
    MAPPING:
      device: data->>'device'
      humidity: (data->>'humidity')::float
      temperature: (data->>'temperature')::float
      time: (data->>'time')::timestamp
")).expect_text("-Inserted 10 rows");
        let rows = case.rows("SELECT * FROM $SCHEMA.sensors ORDER BY time");
        assert_eq!(rows[0], "WxoORaIefUcmZvgimM|25.495|34.763|1|2019-09-24 15:33:57.053706");
        assert_eq!(rows[9], "sensor 9|34.495|34.763|1|2019-09-24 15:34:06.053706");
        assert_eq!(rows.len(), 10);
    }

    fn t6_json_renamed_fields(db) {
        let case = Case::new(db, "t6", 1);
        case.table("json_from_kafka (customer_id int8, month int4, amount_paid decimal(9,2))", "customer_id");
        case.topic.produce(0, EXPENSES.iter().map(|csv| {
            let fields: Vec<&str> = csv.split(',').map(|field| field.trim_matches('"')).collect();
            format!(r#"{{"cust_id": {}, "month": {}, "expenses": {}}}"#, fields[0], fields[1], fields[2])
        }));
        case.load(&case.job("KAFKA:
   INPUT:
     SOURCE:
       BROKERS: $BROKERS
       TOPIC: $TOPIC
     COLUMNS:
       - NAME: jdata
         TYPE: json
     FORMAT: json
     ERROR_LIMIT: 10
   OUTPUT:
     SCHEMA: $SCHEMA
     TABLE: json_from_kafka
     MAPPING:
       - NAME: customer_id
         EXPRESSION: (jdata->>'cust_id')::int
       - NAME: month
         EXPRESSION: (jdata->>'month')::int
       - NAME: amount_paid
         EXPRESSION: (jdata->>'expenses')::decimal
   COMMIT:
     MINIMAL_INTERVAL: 2000
"));
        assert_eq!(case.rows("SELECT * FROM $SCHEMA.json_from_kafka ORDER BY 1, 2"), [
            "1313131|10|492.83", "1313131|11|368.27", "1313131|12|1313.13",
            "3535353|10|6001.94", "3535353|11|761.35", "3535353|12|81.12",
            "7979797|10|4489.00", "7979797|11|18.72", "7979797|12|173.18",
        ]);
    }

    fn t8_binary(db) {
        let case = Case::new(db, "t8", 1);
        case.table("images (len int, content bytea, time timestamp DEFAULT now())", "len");
        let lengths = [1076, 1119, 1067, 1081, 1156, 1085, 1053, 1163, 1140, 1106];
        let images: Vec<Vec<u8>> = lengths.iter().map(|&length| noise(length)).collect();
        case.topic.produce(0, &images);
        case.load(&case.job("VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
    VALUE:
      COLUMNS:
        - NAME: c1
          TYPE: bytea
      FORMAT: binary
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: images
    MAPPING:
      len: length(c1)
      content: c1
"));
        let hex = |image: &Vec<u8>| image.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut expected: Vec<String> = images.iter().map(|image| format!("{}|{}|t", image.len(), hex(image))).collect();
        expected.sort();
        let sql = "SELECT len, encode(content, 'hex'), time IS NOT NULL FROM $SCHEMA.images ORDER BY len::text";
        assert_eq!(case.rows(sql), expected);
    }

    fn t9_json_lines(db) {
        let case = Case::new(db, "t9", 1);
        case.table("lines (data json)", "");
        let file: String = (0..10).map(|line| format!("{{\"line\": {line}}}\n")).collect();
        case.topic.produce(0, std::iter::repeat_n(&file, 10));
        case.load(&case.job("VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
    VALUE:
      COLUMNS:
        - NAME: c1
          TYPE: json
      FORMAT: jsonl
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: lines
    MAPPING:
      data: c1
")).expect_text("-Inserted 100 rows").expect_text("-Partition 0 at offset 9");
        let sql = "SELECT data->>'line', count(*) FROM $SCHEMA.lines GROUP BY 1 ORDER BY 1";
        assert_eq!(case.rows(sql), (0..10).map(|line| format!("{line}|10")).collect::<Vec<_>>());
    }

    fn t18_filter(db) {
        let case = Case::new(db, "t18", 1);
        case.table("recent (id int, t_date timestamp, comment text)", "id");
        let ages = [0, 1, 29, 30, 31, 400];
        let now = jiff::Zoned::now();
        case.topic.produce(0, ages.iter().enumerate().map(|(id, &age)| {
            let day = now.date().checked_sub(jiff::Span::new().days(age)).unwrap();
            format!("{id},{day} 00:00:00,\"{age} days, old\"")
        }));
        case.load(&case.job("VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
    VALUE:
      COLUMNS:
        - {NAME: id, TYPE: int}
        - {NAME: t_date, TYPE: timestamp}
        - {NAME: comment, TYPE: text}
      FORMAT: csv
    FILTER: now()::date - t_date::date < 30;
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: recent
")).expect_text("-Inserted 3 rows").expect_text("-Rejected 0 rows").expect_text("-Partition 0 at offset 5");
        let sql = "SELECT id, comment FROM $SCHEMA.recent ORDER BY id";
        assert_eq!(case.rows(sql), ["0|0 days, old", "1|1 days, old", "2|29 days, old"]);
    }

    fn partitions_of_two_jobs_side_by_side(db) {
        let case = Case::new(db, "parts", 6);
        case.table("rows (part int, seq int)", "seq");
        let job = |partitions: &str| case.job(&PARTITIONED.replace("$PARTITIONS", partitions));
        let mut odd = Loader::load(&job("(1, 3...4)")).start();
        let mut even = Loader::load(&job("(0,2,5)")).start();
        odd.wait_for_text(SOON, "gpkafka job has started");
        even.wait_for_text(SOON, "gpkafka job has started");
        for partition in 0..6 {
            case.topic.produce(partition, (0..500).map(|sequence| format!("{partition},{sequence}")));
        }
        wait_until(SOON, "all rows of both jobs", || case.count("rows") == 3000);
        odd.signal("INT");
        even.signal("TERM");
        odd.wait(SOON).expect_code(0).expect_text("-Inserted 1500 rows").expect_text("-Partition 3 at offset 499");
        even.wait(SOON).expect_code(0).expect_text("-Inserted 1500 rows").expect_text("-Partition 5 at offset 499");
        let sql = "SELECT part, count(*), count(DISTINCT seq) FROM $SCHEMA.rows GROUP BY 1 ORDER BY 1";
        assert_eq!(case.rows(sql), (0..6).map(|partition| format!("{partition}|500|500")).collect::<Vec<_>>());
        // The history is one: a load of all partitions has nothing left to do.
        let all = PARTITIONED.replace("      PARTITIONS: $PARTITIONS\n", "");
        case.load(&case.job(&all)).expect_text("-Inserted 0 rows");
    }
}

const PARTITIONED: &str = "VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
      PARTITIONS: $PARTITIONS
    VALUE:
      COLUMNS:
        - {NAME: part, TYPE: int}
        - {NAME: seq, TYPE: int}
      FORMAT: csv
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: rows
  COMMIT:
    MINIMAL_INTERVAL: 200
";

/// The lines that scripts grep, in order but for those before the start.
fn t1_lines(case: &Case<'_>, lines: Vec<&str>) {
    for words in ["-[INFO]:-gpfdist listening on ", "-[INFO]:-Start job ", "-[INFO]:-External table "] {
        assert!(lines.iter().any(|line| line.contains(words)), "{words:?} is missing:\n{}", lines.join("\n"));
    }
    let expected = [
        "-[INFO]:-gpkafka job has started".to_owned(),
        "StartTime  EndTime  MsgNum  MsgSize  InsertedRecords  RejectedRecords  Speed".to_owned(),
        "-[INFO]:-Job finished: ".to_owned(),
        format!("-[INFO]:-Target table: \"{}\".\"data_from_kafka\"", case.schema),
        "-[INFO]:-Inserted 9 rows".to_owned(),
        "-[INFO]:-Rejected 0 rows".to_owned(),
        format!("-[INFO]:-Broker: {}", case.topic.kafka.bootstrap),
        format!("-[INFO]:-Topic: {}", case.topic.name),
        "-[INFO]:-Partition 0 at offset 8".to_owned(),
        ", status JOB_STOPPED, errmsg [], time ".to_owned(),
    ];
    let mut rest = lines.iter();
    for words in expected {
        assert!(
            rest.any(|line| line.contains(&words)),
            "{words:?} is missing, or not in its place:\n{}",
            lines.join("\n")
        );
    }
}

fn sensor(number: u32) -> String {
    let device = if number == 0 { "WxoORaIefUcmZvgimM".to_owned() } else { format!("sensor {number}") };
    let seconds = 57 + number;
    let (minute, second) = (33 + seconds / 60, seconds % 60);
    format!(
        r#"{{"device": "{device}", "humidity": {}.495, "temperature": 34.763, "time": "2019-09-24 15:{minute}:{second:02}.053706"}}"#,
        25 + number
    )
}

/// Bytes of every kind, the same for a length each time.
fn noise(length: u32) -> Vec<u8> {
    let mut state = length;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}
