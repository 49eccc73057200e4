//! What the tests of the database stage stand on: a schema, a target and a job of their own, and a server that feeds
//! segments. On PostgreSQL a shell script stands for the segment program: what is tested here is the SQL.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use bytes::Bytes;
use gpkafka::block::{BlockIndex, Run};
use gpkafka::gpfdist::{self, Scan, Server, Session};
use gpkafka::greenplum::{
    Chain, Claim, Commit, Connection, Definition, Error, ExternalTable, Holder, Instance, JobId, Kind, Ledger, Load,
    Loader, Move, Partitions, Settings, Target, Writes, Written,
};
use gpkafka::metrics::Metrics;
use gpkafka::offset::Span;
use gpkafka::table::{Ident, TableName};

use crate::gpfdist_peer::take_out_rules;
use crate::harness::{Database, executable, unique};

/// A target in a schema of its own.
pub struct Place<'d> {
    pub db: &'d Database,
    pub schema: String,
    pub settings: Settings,
    pub job: JobId,
}

impl<'d> Place<'d> {
    /// A table `t` with these columns.
    pub fn new(db: &'d Database, columns: &str) -> Self {
        take_out_rules();
        let schema = db.schema("gpstage");
        db.execute(&format!("CREATE TABLE {schema}.t ({columns})"));
        let target = TableName { schema: Ident::exact(&schema), table: Ident::exact("t") };
        let mut settings = Settings::new(&db.host, db.port, &db.user, &db.dbname, target.clone());
        // These tests' own executable may stand where the server's user cannot reach: in a home of mode 0700.
        settings.segment_program = Some(executable().to_path_buf());
        let job = JobId::new(&unique("topic"), &db.dbname, &target);
        Self { db, schema, settings, job }
    }

    pub fn connect(&self) -> Connection {
        Connection::open(&self.settings, "gpkafka tests").unwrap()
    }

    pub fn connect_as(&self, loader: &Loader) -> Connection {
        Connection::open(&self.settings, &self.job.application_name(&loader.instance)).unwrap()
    }

    pub fn holder(&self, loader: &Loader) -> Holder {
        Holder::open(&self.settings, &self.job, &loader.instance).unwrap()
    }

    pub fn ledger(&self) -> Ledger {
        Ledger::ensure(&mut self.connect(), self.settings.metadata_schema()).unwrap()
    }

    /// The ledger's rows of a partition: seq, kind, first, next.
    pub fn rows_of(&self, partition: i32) -> Vec<String> {
        self.db.rows(&format!(
            "SELECT seq, kind, first, next FROM {}.gpkafka_ledger WHERE job = '{}' AND \"partition\" = {partition} ORDER BY seq",
            self.schema,
            self.job.hash()
        ))
    }

    pub fn definition(&self, writes: &Writes, port: u16) -> Definition {
        Definition::new(&self.job, &Partitions::All, &self.settings, &writes.columns(), "127.0.0.1", port)
    }

    /// All that a load needs, with segments calling this port.
    pub fn load(&self, loader: &Loader, port: u16) -> Load {
        let mut connection = self.connect_as(loader);
        let ledger = Ledger::ensure(&mut connection, self.settings.metadata_schema()).unwrap();
        let targets = Target::describe(&mut connection, &self.settings).unwrap();
        let writes = Writes::new(&targets, &self.settings).unwrap();
        let external = ExternalTable::ensure(&mut connection, &self.definition(&writes, port)).unwrap();
        writes.explain(&mut connection, &external.name).unwrap();
        Load::new(connection, self.job.clone(), loader.clone(), writes, external, ledger)
    }
}

pub fn loader() -> Loader {
    let instance = Instance::random().unwrap();
    Loader { instance, host: "here".to_owned(), pid: std::process::id(), os_user: "tester".to_owned() }
}

/// A commit of one span of each partition.
pub fn batch(number: i64, spans: &[(i32, i64, i64)]) -> Commit {
    let moves = spans.iter().map(|&(partition, first, next)| Move::bare(partition, Kind::Load, first, next));
    Commit { batch: number, topic_id: Some("topic-id".to_owned()), moves: moves.collect() }
}

/// Commits spans on a session of its own.
pub fn commit(place: &Place<'_>, loader: &Loader, chain: &mut Chain, commit: &Commit) -> Result<(), Error> {
    place.ledger().commit_alone(&mut place.connect(), &place.job, loader, chain, commit)
}

/// A server for segments on a port of its own.
pub fn server() -> Server {
    let settings = gpfdist::Settings { port: 0, bind: [127, 0, 0, 1].into(), ..gpfdist::Settings::default() };
    Server::start(&settings, &Metrics::default()).unwrap()
}

/// Opens the scan of a load's transaction.
pub fn begin(server: &Server, load: &mut Load) -> Session {
    let xid = load.begin().unwrap();
    let path = load.external().path.clone();
    server.accept_path(&path);
    server.open(Scan { path, xid: Some(xid), file_prefix: "orders".to_owned() })
}

pub fn push(session: &Session, partition: i32, first: i64, rows: &[&str]) {
    let count = u32::try_from(rows.len()).unwrap();
    let index = BlockIndex {
        partition,
        span: Span::new(first, first + i64::from(count)).unwrap(),
        rows: count,
        runs: vec![Run { row: 0, offset: first, record_rows: 1 }],
    };
    session.push(&index, Bytes::from(rows.iter().map(|row| format!("{row}\n")).collect::<String>()));
}

/// Batches one after the other through one load, fed by a server of its own on either database.
pub struct Feed<'d> {
    pub place: Place<'d>,
    server: Server,
    load: Load,
    chain: Chain,
    batches: i64,
}

impl<'d> Feed<'d> {
    pub fn new(place: Place<'d>) -> Self {
        let server = server();
        let load = place.load(&loader(), server.port());
        Self { place, server, load, chain: Chain::default(), batches: 0 }
    }

    /// Goes on with a session of its own, as after a lost one.
    pub fn reconnect(&mut self) {
        self.load = self.place.load(&loader(), self.server.port());
        self.chain = self.place.ledger().read(&mut self.place.connect(), &self.place.job).unwrap();
    }

    /// Loads rows as the external table has them; what fails is rolled back.
    pub fn try_batch(&mut self, rows: &[String]) -> Result<Written, Error> {
        let written = self.write(rows)?;
        self.commit()?;
        Ok(written)
    }

    pub fn commit(&mut self) -> Result<(), Error> {
        let commit = batch(self.batches, &[(0, self.batches, self.batches + 1)]);
        self.load.commit(&mut self.chain, &commit)?;
        self.batches += 1;
        Ok(())
    }

    /// All of a batch but its commit.
    pub fn write(&mut self, rows: &[String]) -> Result<Written, Error> {
        let session = begin(&self.server, &mut self.load);
        let rows: Vec<_> = rows.iter().map(String::as_str).collect();
        if !rows.is_empty() {
            push(&session, 0, self.batches, &rows);
        }
        session.seal();
        let written = self.load.write();
        session.finish();
        if written.is_err() {
            self.load.roll_back()?;
        }
        written
    }

    pub fn batch(&mut self, rows: &[String]) -> Written {
        self.try_batch(rows).unwrap()
    }

    pub fn load(&mut self) -> &mut Load {
        &mut self.load
    }

    /// The target's rows, sorted.
    pub fn rows(&self) -> Vec<String> {
        self.place.db.rows(&format!("SELECT * FROM {}.t ORDER BY 1, 2", self.place.schema))
    }
}

pub fn expect_claimed(claim: Claim) -> Vec<String> {
    match claim {
        Claim::Claimed { ended } => ended,
        Claim::Held(held) => panic!("held by {held}"),
    }
}

/// A program for PostgreSQL in place of a segment, anywhere that the server's user may reach.
pub struct Script {
    dir: tempfile::TempDir,
}

impl Script {
    pub fn new(body: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let script = Self { dir };
        std::fs::write(script.path(), format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(script.path(), PermissionsExt::from_mode(0o755)).unwrap();
        script
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("segment")
    }

    /// A file beside it, which its body names `$(dirname $0)/NAME`.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }
}
