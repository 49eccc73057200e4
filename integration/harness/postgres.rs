//! A PostgreSQL of one node from the system's package, run as the OS user `postgres` when the tests run as root.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use super::database::{Database, Kind};
use super::place::{free_port, log};
use super::process::{Output, Supervised, User, directory, run, wait_ready};

/// The shared server, started by the first test that asks.
///
/// # Panics
/// When none is installed or it cannot start, with the end of its log.
pub fn postgres() -> &'static Database {
    static SERVER: OnceLock<Database> = OnceLock::new();
    SERVER.get_or_init(|| start(&Manner::default()))
}

/// A server of one's own, for tests that crash it. It ends when it is dropped.
///
/// # Panics
/// As [`postgres`].
pub fn own_postgres() -> Database {
    start(&Manner::default())
}

/// What a server of one's own has beside what every one has.
#[derive(Debug, Default)]
pub struct Manner<'a> {
    /// `name=value`.
    pub settings: &'a [&'a str],
    /// Files of its data directory that nobody else may read.
    pub files: &'a [(&'a str, &'a [u8])],
    /// Lines of pg_hba.conf before the one that lets in everybody else.
    pub admission: &'a str,
}

/// As [`own_postgres`], in a manner of one's own.
///
/// # Panics
/// As [`postgres`].
pub fn own_postgres_in(manner: &Manner<'_>) -> Database {
    start(manner)
}

/// The newest installed `psql`.
pub fn psql() -> Command {
    Command::new(bin().join("psql"))
}

fn prepare(data: &Path, user: User, manner: &Manner<'_>) {
    for (name, bytes) in manner.files {
        let path = data.join(name);
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
        chown(&path, Some(user.uid), Some(user.gid)).expect("root may give a file away");
    }
    let path = data.join("pg_hba.conf");
    let usual = std::fs::read_to_string(&path).expect("initdb has made it");
    std::fs::write(&path, format!("{}\n{usual}", manner.admission)).expect("root may write it");
}

fn start(manner: &Manner<'_>) -> Database {
    let bin = bin();
    let user = user();
    let dir = directory("postgres", user);
    let data = dir.join("data");
    let mut initdb = Command::new(bin.join("initdb"));
    initdb.args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D"]).arg(&data);
    run(user.run(initdb.current_dir(&dir)));
    prepare(&data, user, manner);
    let port = free_port();
    let mut server = Command::new(bin.join("postgres"));
    server.arg("-D").arg(&data).current_dir(&dir);
    for setting in [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".into(),
        format!("unix_socket_directories={}", dir.display()),
        // Throwaway: nothing has to survive the machine.
        "fsync=off".into(),
        "full_page_writes=off".into(),
        "max_connections=200".into(),
        "max_wal_size=4GB".into(),
        "log_statement=ddl".into(),
    ] {
        server.arg("-c").arg(setting);
    }
    for setting in manner.settings {
        server.arg("-c").arg(setting);
    }
    let path = log(&format!("postgres-{port}"));
    let server = Supervised::start(&server, user, "QUIT", &Output::log(&path));
    let database = Database {
        kind: Kind::Postgres,
        host: "127.0.0.1".into(),
        port,
        user: "postgres".into(),
        dbname: "postgres".into(),
        servers: Mutex::default(),
    };
    let mut server = server;
    wait_ready(&mut server, "PostgreSQL", &path, || database.try_connect_as("postgres").is_ok());
    Database { servers: Mutex::new(vec![server]), ..database }
}

/// Who may run a server: it refuses root.
fn user() -> User {
    let current = User::current();
    if current.uid != 0 {
        return current;
    }
    User::named("postgres").expect("Debian's package makes the OS user postgres; integration/test installs it")
}

/// The newest version's programs.
fn bin() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.map(|entry| entry.path()).filter(|path| path.join("bin/initdb").is_file()).max_by_key(number);
    newest.expect("no PostgreSQL server is installed; integration/test installs it").join("bin")
}
