//! What a wrong world looks like from the database's side: each one clear line with what to do.

use gpkafka::greenplum::{Chain, Connection, Error, ExternalTable, Mapping, Settings, Target, Writes};
use gpkafka::table::{Column, Ident};

use crate::greenplum_place::{Place, Script, batch, commit, loader};
use crate::harness::{free_port, greenplum, on_each_database, unique};

on_each_database! {
    fn a_server_that_cannot_be_reached_is_one_line(db) {
        let place = Place::new(db, "a int");
        let mut settings = place.settings.clone();
        settings.port = free_port();
        let told = told(Connection::open(&settings, "x"));
        let start = format!("cannot connect to the database at 127.0.0.1:{} as role \"{}\", database \"{}\": ", settings.port, db.user, db.dbname);
        assert!(told.starts_with(&start) && told.contains("refused") && told.ends_with("HOST and PORT of the job file"), "{told}");
        settings = place.settings.clone();
        settings.database = "nowhere".to_owned();
        let wrong = Connection::open(&settings, "x").err().unwrap();
        assert!(!wrong.is_passing());
        assert!(wrong.to_string().contains("database \"nowhere\" does not exist; check DATABASE"), "{wrong}");
        settings = place.settings.clone();
        settings.user = "nobody_known".to_owned();
        let wrong = Connection::open(&settings, "x").err().unwrap();
        assert!(wrong.to_string().contains("role \"nobody_known\" does not exist; check USER"), "{wrong}");
        settings = place.settings.clone();
        settings.host = "no-such-host.invalid".to_owned();
        let wrong = Connection::open(&settings, "x").err().unwrap();
        assert!(wrong.to_string().ends_with("check HOST of the job file: this name resolves to no address here"), "{wrong}");
    }

    fn a_session_is_set_to_what_a_load_depends_on(db) {
        let mut place = Place::new(db, "a int");
        let role = unique("odd");
        db.execute(&format!("CREATE ROLE {role} LOGIN SUPERUSER"));
        for setting in [
            "statement_timeout = 1",
            "default_transaction_isolation = 'serializable'",
            "default_transaction_read_only = on",
            "standard_conforming_strings = off",
        ] {
            db.execute(&format!("ALTER ROLE {role} SET {setting}"));
        }
        place.settings.user = role;
        commit(&place, &loader(), &mut Chain::default(), &batch(1, &[(0, 0, 10)])).unwrap();
        assert_eq!(place.rows_of(0), ["1|load|0|10"]);
        let name = unique("gpkafka settings");
        let connection = Connection::open(&place.settings, &name).unwrap();
        assert_eq!(connection.dialect().is_greenplum(), db.segments() > 1);
        assert_eq!(connection.segments(), db.segments());
        let pid = db.value(&format!("SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'"));
        assert_eq!(pid, connection.pid().to_string());
    }

    fn a_missing_table_is_told_with_the_nearest_name(db) {
        let place = Place::new(db, "a int");
        let schema = &place.schema;
        db.execute(&format!("CREATE TABLE {schema}.orders (a int); CREATE TABLE {schema}.\"Customers\" (a int)"));
        let look = |schema: &str, table: &str| {
            let mut settings = place.settings.clone();
            settings.outputs[0].target.schema = Ident::exact(schema);
            settings.outputs[0].target.table = Ident::exact(table);
            told(Target::describe(&mut place.connect(), &settings))
        };
        let dbname = &db.dbname;
        assert_eq!(look(schema, "order"), format!("table \"{schema}\".\"order\" does not exist in database \"{dbname}\"; did you mean \"orders\"?"));
        assert!(look(schema, "customers").ends_with("there is one named \"Customers\": write it as '\"Customers\"' to keep its capitals"));
        assert!(look("nope", "zzz").starts_with(&format!("schema \"nope\" does not exist in database \"{dbname}\"; ")));
        let elsewhere = look("pg_catalog", "orders");
        assert!(elsewhere.contains("has a table of this name"), "{elsewhere}");
    }

    fn what_takes_no_rows_is_refused(db) {
        let place = Place::new(db, "a int");
        let schema = &place.schema;
        db.execute(&format!("CREATE VIEW {schema}.v AS SELECT count(*) FROM {schema}.t"));
        db.execute(&format!("CREATE SEQUENCE {schema}.s"));
        for (name, told_of) in [("v", "is a view that rows cannot be written into; name its table"), ("s", "is not a table")] {
            let mut settings = place.settings.clone();
            settings.outputs[0].target.table = Ident::exact(name);
            assert_eq!(told(Target::describe(&mut place.connect(), &settings)), format!("\"{schema}\".\"{name}\" {told_of}"));
        }
    }

    fn missing_rights_are_told_all_at_once_with_their_grants(db) {
        let place = Place::new(db, "a int");
        let schema = &place.schema;
        let role = unique("poor");
        db.execute(&format!("CREATE ROLE {role} LOGIN"));
        let mut settings = place.settings.clone();
        settings.user = role.clone();
        let describe = |settings: &Settings| Target::describe(&mut Connection::open(settings, "x").unwrap(), settings);
        let error = describe(&settings).unwrap_err();
        let Error::Privilege { statements, .. } = &error else { panic!("{error}") };
        assert!(statements.contains(&format!("GRANT INSERT ON \"{schema}\".\"t\" TO \"{role}\"; GRANT USAGE, CREATE ON SCHEMA \"{schema}\"")), "{error}");
        // what it says to run is what is needed
        for statement in statements.split("; ") {
            db.execute(statement);
        }
        describe(&settings).unwrap();
        settings.metadata_schema = Some(Ident::exact("nope"));
        assert!(told(describe(&settings)).starts_with("metadata schema \"nope\" does not exist; create it with: CREATE SCHEMA"));
    }

    fn a_mapping_that_the_database_refuses_is_named(db) {
        let place = Place::new(db, "customer_id bigint, tax_due numeric(7,2), made date");
        let script = Script::new("");
        let explain = |expression: &str, filter: Option<&str>| {
            let mut settings = place.settings.clone();
            let columns = [("cust_id", "int"), ("expenses", "numeric(9,2)")];
            settings.columns = Some(columns.map(|(name, sql_type)| Column { name: Ident::exact(name), sql_type: sql_type.to_owned() }).to_vec());
            let mapping = [("customer_id", "cust_id"), ("tax_due", expression)];
            settings.outputs[0].mapping = mapping.map(|(column, expression)| Mapping { column: Ident::exact(column), expression: expression.to_owned() }).to_vec();
            settings.outputs[0].filter = filter.map(str::to_owned);
            settings.segment_program = Some(script.path());
            let mut connection = place.connect();
            let writes = Writes::new(&Target::describe(&mut connection, &settings)?, &settings)?;
            let external = ExternalTable::ensure(&mut connection, &place.definition(&writes, 9000))?;
            writes.explain(&mut connection, &external.name)
        };
        explain("expenses * .0725", Some("cust_id > 3;")).unwrap();
        let near = told(explain("expences * .0725", None));
        let start = "the database refuses the mapping of \"tax_due\" (expences * .0725): column \"expences\" does not exist; ";
        assert!(near.starts_with(start) && near.contains("expenses") && near.ends_with("(SQLSTATE 42703)"), "{near}");
        let wrong_type = told(explain("now()", None));
        assert!(wrong_type.starts_with("the database refuses the mapping of \"tax_due\" (now()): column \"tax_due\" is of type numeric"), "{wrong_type}");
        let wrong_filter = told(explain("1", Some("cust_id ~~ nope")));
        assert!(wrong_filter.starts_with("the database refuses the filter (cust_id ~~ nope): "), "{wrong_filter}");
        let two = told(explain("1; DROP TABLE t", None));
        assert!(two.contains("42601"), "{two}");
    }
}

#[test]
fn a_distribution_key_is_read_in_its_own_order() {
    let Some(db) = greenplum(2) else { return };
    let mut place = Place::new(db, "a int");
    let schema = place.schema.clone();
    let mut key = |definition: &str| {
        db.execute(&format!("CREATE TABLE {schema}.u (a int, \"B\" int, c int) {definition}"));
        place.settings.outputs[0].target.table = Ident::exact("u");
        let targets = Target::describe(&mut place.connect(), &place.settings).unwrap();
        db.execute(&format!("DROP TABLE {schema}.u"));
        targets[0].distribution.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(key("DISTRIBUTED BY (c, \"B\")"), ["c", "B"]);
    assert!(key("DISTRIBUTED RANDOMLY").is_empty() && key("DISTRIBUTED REPLICATED").is_empty());
}

fn told<T>(result: Result<T, Error>) -> String {
    result.err().unwrap().to_string()
}
