//! `gpkafka init` on real servers: the file that it writes dry-runs, with the servers asked too, and loads what is there.

use crate::case::Case;
use crate::harness::{Loader, Outcome, SchemaRegistry, User, directory, has_python_client, on_each_database};

/// What names servers, topic and table.
fn init(case: &Case<'_>, table: &str, more: &[&str]) -> Loader {
    let of = |key: &str| {
        let yaml = case.db.yaml();
        let line = yaml.lines().find_map(|line| line.strip_prefix(&format!("{key}: ")).map(str::to_owned));
        line.unwrap_or_default().trim_matches(['\'', '"']).to_owned()
    };
    let table = format!("{}.{table}", case.schema);
    let (host, port, user, database) = (of("HOST"), of("PORT"), of("USER"), of("DATABASE"));
    let words = [
        ["--brokers", &case.topic.kafka.bootstrap],
        ["--topic", &case.topic.name],
        ["--host", &host],
        ["--port", &port],
        ["--user", &user],
        ["--database", &database],
        ["--table", &table],
    ];
    Loader::command(["init"]).args(words.into_iter().flatten()).args(more.iter().copied())
}

/// Writes a file, looks at it as a user would, and loads by it.
fn expect_load(case: &Case<'_>, job: &str) -> Outcome {
    let dryrun = |more: &[&str]| {
        let loader = Loader::with_job("dryrun", job).args(["--gpfdist-host", "127.0.0.1"]).args(more.iter().copied());
        loader.run().expect_code(0)
    };
    dryrun(&[]);
    dryrun(&["--connect"]).expect_text("-- EXPLAIN");
    Loader::load(job).args(["--quit-at-eof"]).run().expect_code(0).expect_calm(case.announced)
}

on_each_database! {
    fn json_into_a_table_that_is_there(db) {
        let case = Case::new(db, "init", 2);
        case.table("orders (id bigint, customer_id text, created timestamp, paid boolean, amount numeric(9,2), lines json, region text)", "id");
        case.topic.produce(0, [
            r#"{"ID": 1, "customerId": "a\"b", "created": 1704067200000, "paid": true, "amount": 12.5, "lines": [{"n": 1}], "other": 1}"#,
            r#"{"ID": 2, "created": 1704067201500, "paid": null, "amount": 3, "lines": {}}"#,
        ]);
        case.topic.produce(1, [r#"{"ID": 3000000000, "customerId": "c", "created": 0, "amount": null}"#]);
        let file = directory("init", User::current()).join("orders.yaml");
        let path = file.to_str().unwrap();
        let written = init(&case, "orders", &["-o", path]).run().expect_code(0).expect_calm(&[]);
        assert_eq!(written.text(), "");
        let job = std::fs::read_to_string(&file).unwrap();
        assert!(!job.contains("\nPASSWORD") && job.contains("# no column of the table has this name: other (integer)"), "{job}");
        assert!(job.contains("# column \"region\" stays NULL") && job.contains("/ 1000.0) AT TIME ZONE 'UTC'"), "{job}");
        // and it is not overwritten unless that is wished
        init(&case, "orders", &["-o", path]).run().expect_code(64).expect_text("exists already").expect_text("--force");
        std::fs::write(&file, "x").unwrap();
        init(&case, "orders", &["-o", path, "--force"]).run().expect_code(0);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), job);
        expect_load(&case, &job).expect_text("-Inserted 3 rows");
        assert_eq!(case.rows("SELECT * FROM $SCHEMA.orders ORDER BY id"), [
            "1|a\"b|2024-01-01 00:00:00|t|12.50|[{\"n\": 1}]|\\N",
            "2|\\N|2024-01-01 00:00:01.5|\\N|3.00|{}|\\N",
            "3000000000|c|1970-01-01 00:00:00|\\N|\\N|\\N|\\N",
        ]);
    }

    fn csv_into_a_table_that_is_made_for_it(db) {
        let case = Case::new(db, "init", 1);
        case.topic.produce(0, ["1;\"a;b\";2024-02-29;0.50;true", "3000000000;x;2024-03-01;-1.25;", "7;\"\"\"q\"\"\";;12;false"]);
        let file = directory("init", User::current()).join("job.yaml");
        let words = ["-o", file.to_str().unwrap(), "--create-table"];
        let statement = init(&case, "fresh", &words).run().expect_code(0).stdout;
        assert_eq!(statement.contains(") DISTRIBUTED RANDOMLY;"), db.distributed_by("").contains("DISTRIBUTED"), "{statement}");
        db.execute(&statement);
        let columns = case.rows(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
              WHERE attrelid = '$SCHEMA.fresh'::regclass AND attnum > 0 ORDER BY attnum",
        );
        assert_eq!(columns, ["c1|bigint", "c2|text", "c3|date", "c4|numeric", "c5|boolean"]);
        let job = std::fs::read_to_string(&file).unwrap();
        assert!(job.contains("DELIMITER: \";\""), "{job}");
        expect_load(&case, &job).expect_text("-Inserted 3 rows");
        assert_eq!(case.rows("SELECT * FROM $SCHEMA.fresh ORDER BY c1"), [
            "1|a;b|2024-02-29|0.50|t",
            "7|\"q\"|\\N|12|f",
            "3000000000|x|2024-03-01|-1.25|\\N",
        ]);
        init(&case, "fresh", &["-o", "x", "--create-table"]).run().expect_code(64).expect_text("exists already");
    }

    fn avro_by_what_the_registry_knows(db) {
        if !has_python_client() {
            return;
        }
        let registry = SchemaRegistry::start();
        let case = Case::new(db, "init", 1);
        registry.avro(&format!("{}-value", case.topic.name), r#"{"type": "record", "name": "r", "fields": [
            {"name": "userId", "type": "long"}, {"name": "raw", "type": "bytes"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "tags", "type": {"type": "map", "values": "int"}},
            {"name": "note", "type": ["null", "string"], "default": null}]}"#);
        case.topic.produce_by_python(&registry.url(), r#"[
            (None, {"userId": 1, "raw": b"\x00\xff", "at": datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc), "tags": {"a": 1}}),
            (None, {"userId": 2, "raw": b"", "at": datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc), "tags": {}, "note": "x"})]"#);
        init(&case, "users", &[]).run().expect_code(64).expect_text("give its address after --registry");
        let file = directory("init", User::current()).join("job.yaml");
        let url = registry.url_of("etl:secret");
        let words = ["-o", file.to_str().unwrap(), "--create-table", "--registry", &url];
        let statement = init(&case, "users", &words).run().expect_code(0).stdout;
        db.execute(&statement);
        let job = std::fs::read_to_string(&file).unwrap();
        assert!(job.contains("SCHEMA_REGISTRY_USER: etl") && !job.contains("secret"), "{job}");
        // which this registry does not ask for
        let job = job.replace("        SCHEMA_REGISTRY_USER: etl\n", "");
        expect_load(&case, &job).expect_text("-Inserted 2 rows");
        let sql = "SELECT user_id, encode(raw, 'hex'), at AT TIME ZONE 'UTC', tags, note FROM $SCHEMA.users ORDER BY 1";
        assert_eq!(case.rows(sql), ["1|00ff|2024-01-01 00:00:00|{\"a\":1}|\\N", "2||2024-01-02 00:00:00|{}|x"]);
        let types = case.rows("SELECT DISTINCT pg_typeof(raw)::text, pg_typeof(at)::text, pg_typeof(tags)::text FROM $SCHEMA.users");
        assert_eq!(types, ["bytea|timestamp with time zone|json"]);
    }

    fn rows_of_any_width_are_loaded(db) {
        let case = Case::new(db, "init", 1);
        case.table("t (id bigint, a bigint)", "id");
        let rows = (0..98).map(|id| format!("{id},1{}", if id < 95 { "" } else { ",9" }));
        case.topic.produce(0, rows);
        let job = init(&case, "t", &["--format", "csv"]).run().expect_code(0).stdout;
        assert!(job.contains("FILL_MISSING_FIELDS: true         # 95 of 98 rows have fewer fields than the widest"), "{job}");
        expect_load(&case, &job).expect_text("-Inserted 98 rows");
        assert_eq!(case.rows("SELECT count(*), min(a), max(a) FROM $SCHEMA.t"), ["98|1|1"]);
    }

    fn a_few_messages_that_are_no_rows_hold_nothing_up(db) {
        let mut case = Case::new(db, "init", 1);
        case.table("t (a int)", "a");
        let producer = case.topic.kafka.producer();
        for at in 0..301 {
            let value = if at == 17 { "oops".to_owned() } else { format!(r#"{{"a": {at}}}"#) };
            producer.send(&case.topic.name, 0, Some(b"k"), Some(value.as_bytes()));
        }
        producer.flush();
        let job = init(&case, "t", &[]).run().expect_code(0).stdout;
        assert!(job.contains("FORMAT: json\n") && job.contains("1 of 301 is none (partition 0, offset 17)"), "{job}");
        assert!(job.contains("    ERROR_LIMIT: 10%  "), "{job}");
        let asked_for = init(&case, "t", &["--format", "json"]).run().expect_code(0).stdout;
        assert_eq!(asked_for, job);
        producer.send(&case.topic.name, 0, Some(b"k"), None);
        producer.flush();
        let job = init(&case, "t", &[]).run().expect_code(0).stdout;
        assert!(job.contains("# 1 of 302 messages has no value") && job.contains("    ERROR_LIMIT: 100%  "), "{job}");
        case.announced = &["ERROR_LIMIT", "rejected"];
        expect_load(&case, &job).expect_text("-Inserted 300 rows");
        assert_eq!(case.rows("SELECT count(*), sum(a) FROM $SCHEMA.t"), ["300|45133"]);
    }

    fn what_init_cannot_know_it_says(db) {
        let case = Case::new(db, "init", 1);
        case.table("t (a int)", "a");
        init(&case, "t", &[]).run().expect_code(1).expect_text("has no records with a value yet");
        case.topic.produce(0, [r#"{"b": 1}"#]);
        init(&case, "t", &[]).run().expect_code(1).expect_text("no field of the messages has the name of a column").expect_text("taken for FORMAT json");
        let of_csv = "as FORMAT csv every message is refused, partition 0, offset 0 first: ";
        let several = Case::new(db, "init", 1);
        several.topic.produce(0, ["1,2\n3,4\n"]);
        init(&several, "unmade", &["--format", "csv"]).run().expect_code(1).expect_text(of_csv);
        let words = Case::new(db, "init", 1);
        words.topic.produce(0, ["word"]);
        init(&words, "unmade", &[]).run().expect_code(0).expect_text("--format says otherwise");
        init(&words, "unmade", &["--format", "json"]).run().expect_code(1).expect_text("only 0 of 1 messages are JSON objects");
        init(&case, "t", &["--format", "avro"]).run().expect_code(1).expect_text("not all messages begin with a zero");
        init(&case, "a.b.c", &[]).run().expect_code(64);
        let outcome = init(&case, "unmade", &[]).run().expect_code(0).expect_text("--create-table prints");
        Loader::with_job("dryrun", &outcome.stdout).run().expect_code(0);
    }
}
