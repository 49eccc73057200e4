//! The role that `sql/loader_role_….sql` makes: a whole job runs as it, and it can do nothing else.

use crate::case::Case;
use crate::harness::{Database, Kind, Loader, on_each_database, psql, unique};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs the script of a database; what it printed.
fn make_role(db: &Database, role: &str, schema: &str, metadata: &str) -> String {
    let name = if db.kind == Kind::Postgres { "postgres" } else { "greenplum" };
    let mut psql = psql();
    psql.args(["-X", "-h", &db.host, "-p", &db.port.to_string(), "-U", &db.user, "-d", &db.dbname]);
    for (variable, value) in [("role", role), ("schema", schema), ("table", "t"), ("metadata", metadata)] {
        psql.args(["-v", &format!("{variable}={value}")]);
    }
    psql.args(["-f", &format!("{ROOT}/sql/loader_role_{name}.sql")]);
    let output = psql.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

/// SQLSTATE of what a role is refused; `None` where it is not.
fn refused(db: &Database, role: &str, sql: &str) -> Option<String> {
    let mut config = postgres::Config::new();
    config.host(&db.host).port(db.port).user(role).dbname(&db.dbname);
    let outcome = config.connect(postgres::NoTls).unwrap().batch_execute(sql);
    outcome.err().map(|error| error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()))
}

on_each_database! {
    fn a_whole_job_runs_as_the_role_of_the_script(db) {
        let case = Case::new(db, "role", 2);
        let (role, metadata) = (unique("Loader"), unique("Own things"));
        case.table("t (a int, b text)", "a");
        case.table("others (secret text)", "secret");
        let said = make_role(db, &role, &case.schema, &metadata);
        assert!(!said.contains("ERROR"), "{said}");
        // once more, as for one more table
        make_role(db, &role, &case.schema, &metadata);
        let job = case.job_into("t", "a int, b text").input("ERROR_LIMIT: 100%").dead_letter("letters");
        let job = job.user(&role).output("MAPPING: {a: 100 / a, b: b}");
        let text = job.text().replace("  COMMIT:", &format!("  METADATA: {{SCHEMA: '\"{metadata}\"'}}\n  COMMIT:"));
        Loader::with_job("dryrun", &text).args(["--connect"]).run().expect_code(0);
        case.topic.produce(0, ["10,x", "0,y", "bad"]);
        case.topic.produce(1, ["20,z"]);
        let load = || Loader::load(&text).args(["--quit-at-eof"]).run().expect_code(0);
        load().expect_text("-Inserted 2 rows").expect_text("-Rejected 2 rows");
        case.topic.produce(1, ["50,u"]);
        load().expect_text("-Inserted 1 rows");
        Loader::with_job("check", &text).run().expect_code(0).expect_text("2 dead letters");
        let mended = text.replace("100 / a", "100 / (a + 1)");
        let words = ["--gpfdist-host", "127.0.0.1", "--gpfdist-port", "0"];
        Loader::with_job("replay", &mended).args(words).run().expect_text("Loaded 1 dead letter again");
        assert_eq!(case.rows("SELECT a, b FROM $SCHEMA.t ORDER BY a, b"), ["2|u", "5|z", "10|x", "100|y"]);
        expect_bounds(db, &role, &case.schema, &metadata);
    }

    /// For MODE merge the script says what is to be granted too.
    fn a_merge_runs_with_what_the_script_says_of_it(db) {
        let case = Case::new(db, "rolemerge", 1);
        let (role, metadata) = (unique("merger"), unique("own"));
        case.table("t (a int, b text)", "a");
        make_role(db, &role, &case.schema, &metadata);
        let job = case.job_into("t", "a int, b text").user(&role).output("MODE: merge");
        let job = job.output("MATCH_COLUMNS: [a]").output("UPDATE_COLUMNS: [b]").output("DELETE_CONDITION: ext.b = 'd'");
        let text = job.text().replace("  COMMIT:", &format!("  METADATA: {{SCHEMA: {metadata}}}\n  COMMIT:"));
        let load = || Loader::load(&text).args(["--quit-at-eof"]).run();
        let lacking = load().expect_code(1);
        let table = format!("\"{}\".\"t\"", case.schema);
        let lacking = lacking.expect_text(&format!("lacks UPDATE on {table}, DELETE on {table}, SELECT on {table}; have this run: "));
        db.execute(lacking.stderr.split("have this run: ").nth(1).unwrap());
        for (batch, expected) in [(["1,x", "2,y"], "1|x 2|y"), (["1,d", "2,z"], "2|z")] {
            case.topic.produce(0, batch);
            load().expect_code(0);
            assert_eq!(case.rows("SELECT a, b FROM $SCHEMA.t ORDER BY a").join(" "), expected);
        }
    }
}

/// What the role may not do, which is everything but to load.
fn expect_bounds(db: &Database, role: &str, schema: &str, metadata: &str) {
    let statements = [
        format!("SELECT * FROM {schema}.t"),
        format!("UPDATE {schema}.t SET b = ''"),
        format!("DELETE FROM {schema}.t"),
        format!("TRUNCATE {schema}.t"),
        format!("ALTER TABLE {schema}.t ADD c int"),
        format!("DROP TABLE {schema}.t"),
        format!("SELECT * FROM {schema}.others"),
        format!("INSERT INTO {schema}.others VALUES ('x')"),
        format!("CREATE TABLE {schema}.mine (a int)"),
        format!("CREATE FUNCTION {schema}.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
        "CREATE SCHEMA mine".to_owned(),
        "CREATE ROLE another".to_owned(),
        "CREATE DATABASE another".to_owned(),
        "SELECT * FROM pg_catalog.pg_authid".to_owned(),
        format!("ALTER ROLE \"{}\" RENAME TO mine", db.user),
        format!("SET ROLE \"{}\"", db.user),
        format!("DROP SCHEMA \"{metadata}\" CASCADE"),
    ];
    for sql in statements {
        assert_eq!(refused(db, role, &sql).as_deref(), Some("42501"), "{sql}");
    }
    let more = match db.kind {
        Kind::Postgres => Vec::new(),
        Kind::Greenplum { .. } => vec![
            format!(
                "CREATE WRITABLE EXTERNAL TABLE \"{metadata}\".w (a int) LOCATION ('gpfdist://h:1/x') FORMAT 'text'"
            ),
            format!("CREATE EXTERNAL WEB TABLE \"{metadata}\".e (a text) EXECUTE 'id' FORMAT 'text'"),
            format!("CREATE EXTERNAL TABLE \"{metadata}\".f (a text) LOCATION ('file://h/etc/passwd') FORMAT 'text'"),
            "COPY (SELECT 1) TO PROGRAM 'id'".to_owned(),
        ],
    };
    for sql in more {
        assert!(refused(db, role, &sql).is_some(), "{sql}");
    }
}
