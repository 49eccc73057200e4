//! Where else a database password may be, as PostgreSQL's own clients have it: PGPASSWORD, then the file that PGPASSFILE
//! names, or `~/.pgpass`. Called by `files.rs` for a job without PASSWORD.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::Connection;
use crate::greenplum::passfile::{self, Wanted};
use crate::password::Password;

/// No password file is longer.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the environment has for a connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub password: Option<Password>,
    /// Why a password file was not looked into.
    pub warning: Option<String>,
}

/// Looks where PostgreSQL's clients look.
pub fn find(connection: &Connection) -> Found {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(password) = variable("PGPASSWORD") {
        return Found { password: Some(Password::new(password)), warning: None };
    }
    let named = variable("PGPASSFILE").map(PathBuf::from);
    match named.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".pgpass"))) {
        Some(path) => in_file(&path, connection),
        None => Found::default(),
    }
}

/// Like libpq: a file that is not there is none, and one that others can read is not looked into.
fn in_file(path: &Path, connection: &Connection) -> Found {
    let warning =
        |why: &str| Found { password: None, warning: Some(format!("password file {}: {why}", path.display())) };
    let Ok(metadata) = std::fs::metadata(path) else { return Found::default() };
    if !metadata.is_file() {
        return warning("it is no plain file, and left aside");
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return warning("others than its owner may use it, so it is left aside; run `chmod 0600` on it");
    }
    if metadata.len() > FILE_BYTES_MAX {
        return warning("it is longer than 1 MiB, and left aside");
    }
    match std::fs::read(path) {
        Ok(bytes) => {
            let Connection { host, port, user, database, .. } = connection;
            let wanted = Wanted { host, port: *port, database, user };
            let password = passfile::password(&String::from_utf8_lossy(&bytes), &wanted);
            Found { password: password.map(Password::new), warning: None }
        }
        Err(error) => warning(&format!("cannot read it: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;
    use crate::greenplum::tls::Tls;

    #[test]
    fn only_a_file_that_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        let connection = Connection {
            host: "mdw".to_owned(),
            port: 5432,
            user: "gpadmin".to_owned(),
            password: None,
            database: "test".to_owned(),
            tls: Tls::default(),
        };
        assert_eq!(in_file(&path, &connection), Found::default());
        std::fs::write(&path, "mdw:5432:test:gpadmin:secret\n").unwrap();
        for (mode, is_read) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let found = in_file(&path, &connection);
            assert_eq!(found.password, is_read.then(|| Password::new("secret")), "{mode:o}");
            assert_eq!(found.warning.is_none(), is_read, "{mode:o}");
            assert!(!format!("{found:?}").contains("secret"));
        }
        let found = in_file(folder.path(), &connection);
        assert!(found.warning.unwrap().ends_with("it is no plain file, and left aside"));
    }
}
