//! A database under test and what tests ask of it. The servers themselves are started in [`super::postgres`] and
//! [`super::greenplum`].

use std::sync::Mutex;
use std::time::Duration;

use postgres::{Client, NoTls, SimpleQueryMessage};

use super::place::unique;
use super::process::Supervised;

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One node; rows come in through `file_fdw` and `gpkafka segment`.
    Postgres,
    /// A coordinator and this many segments.
    Greenplum { segments: u32 },
}

/// A running database with a superuser that needs no password. `Clone` gives another role or database of it.
#[derive(Debug)]
pub struct Database {
    pub kind: Kind,
    pub host: String,
    pub port: u16,
    pub user: String,
    pub dbname: String,
    /// The coordinator first.
    pub(super) servers: Mutex<Vec<Supervised>>,
}

impl Database {
    /// Stops a server as a crash does: it recovers when it is started again. 0 is the coordinator, segment 0 is 1. Only of
    /// a database of one's own.
    pub fn crash_server(&self, number: usize) {
        let server = &mut self.servers.lock().unwrap()[number];
        server.signal("QUIT");
        server.wait(Duration::from_secs(30)).expect("an immediate shutdown ends");
    }

    /// Starts it again; it may take its time until it answers.
    pub fn start_server(&self, number: usize) {
        self.servers.lock().unwrap()[number].restart();
    }

    /// A connection of its own.
    pub fn connect(&self) -> Client {
        self.try_connect_as(&self.user).unwrap_or_else(|error| panic!("cannot connect to {self:?}: {error}"))
    }

    /// As [`Database::connect`], for a server that may not answer.
    ///
    /// # Errors
    /// It does not.
    pub fn try_connect(&self) -> Result<Client, postgres::Error> {
        self.try_connect_as(&self.user)
    }

    pub(super) fn try_connect_as(&self, user: &str) -> Result<Client, postgres::Error> {
        let mut config = postgres::Config::new();
        config.host(&self.host).port(self.port).user(user).dbname(&self.dbname);
        config.application_name("gpkafka tests").connect_timeout(std::time::Duration::from_secs(10));
        config.connect(NoTls)
    }

    /// Runs statements, each one by itself: Greenplum's DDL in one string would be one transaction.
    pub fn execute(&self, sql: &str) {
        self.connect().batch_execute(sql).unwrap_or_else(|error| panic!("{}\n{sql}", describe(&error)));
    }

    /// The rows of a query as text, fields parted by `|`, NULL as `\N`.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        rows(&mut self.connect(), sql)
    }

    /// The only field of the only row.
    pub fn value(&self, sql: &str) -> String {
        let rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "rows of {sql}");
        rows.into_iter().next().expect("there is one")
    }

    /// The only field of the only row, as a number.
    pub fn number(&self, sql: &str) -> i64 {
        let value = self.value(sql);
        value.parse().unwrap_or_else(|_| panic!("{value:?} is no number: {sql}"))
    }

    /// A new schema with a name of its own that begins with `name`. It stays for as long as the server does.
    pub fn schema(&self, name: &str) -> String {
        let schema = unique(name);
        self.execute(&format!("CREATE SCHEMA {schema}"));
        schema
    }

    /// `DISTRIBUTED BY (columns)` where the database has such a thing; randomly without columns.
    pub fn distributed_by(&self, columns: &str) -> String {
        match self.kind {
            Kind::Postgres => String::new(),
            Kind::Greenplum { .. } if columns.is_empty() => "DISTRIBUTED RANDOMLY".into(),
            Kind::Greenplum { .. } => format!("DISTRIBUTED BY ({columns})"),
        }
    }

    /// The connection block of a job file.
    pub fn yaml(&self) -> String {
        format!("DATABASE: {}\nUSER: {}\nHOST: {}\nPORT: {}\n", self.dbname, self.user, self.host, self.port)
    }

    /// `HOST:PORT/DATABASE`, for messages.
    pub fn address(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.dbname)
    }

    /// How many segments serve a scan.
    pub fn segments(&self) -> u32 {
        match self.kind {
            Kind::Postgres => 1,
            Kind::Greenplum { segments } => segments,
        }
    }
}

/// As [`Database::rows`], on a connection that is already there: inside its transaction.
pub fn rows(client: &mut Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).unwrap_or_else(|error| panic!("{}\n{sql}", describe(&error)));
    let row = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            let fields: Vec<_> = (0..row.len()).map(|field| row.get(field).unwrap_or("\\N")).collect();
            Some(fields.join("|"))
        }
        _ => None,
    };
    messages.into_iter().filter_map(row).collect()
}

/// The server's own words, which `Display` of the client's error leaves out.
fn describe(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| format!("{}: {}", db.code().code(), db.message()))
}
