//! Which database this is, as far as it changes what we say to it.

/// The family and its major version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Greenplum and what was forked from it.
    Greenplum { major: u32 },
    /// One-node PostgreSQL.
    Postgres { major: u32 },
}

impl Dialect {
    /// From the catalog: whether it has segments, and `server_version_num`. Greenplum 6 grew from PostgreSQL 9.4 and 7
    /// from 12; forks keep those bases under other names and numbers.
    ///
    /// # Errors
    /// What it is instead, in words.
    pub(super) fn of(has_segments: bool, version_num: i32, version: &str) -> Result<Self, String> {
        let base = version_num.unsigned_abs() / 10_000;
        match (has_segments, base) {
            (true, 9) if version_num >= 90_400 => Ok(Self::Greenplum { major: 6 }),
            (true, 12..) => Ok(Self::Greenplum { major: 7 }),
            (false, 13..) => Ok(Self::Postgres { major: base }),
            _ => Err(version.split(" on ").next().unwrap_or(version).to_owned()),
        }
    }

    /// Whether segments fetch the rows themselves.
    pub fn is_greenplum(self) -> bool {
        matches!(self, Self::Greenplum { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_named() {
        assert_eq!(Dialect::of(true, 90_426, "x"), Ok(Dialect::Greenplum { major: 6 }));
        assert_eq!(Dialect::of(true, 120_012, "x"), Ok(Dialect::Greenplum { major: 7 }));
        assert_eq!(Dialect::of(false, 150_020, "x"), Ok(Dialect::Postgres { major: 15 }));
        assert_eq!(Dialect::of(false, 120_012, "PostgreSQL 12.12 on x86"), Err("PostgreSQL 12.12".to_owned()));
        let five = "PostgreSQL 8.3.23 (Greenplum Database 5.28.0 build commit:x) on x86_64";
        assert_eq!(
            Dialect::of(true, 80_323, five),
            Err("PostgreSQL 8.3.23 (Greenplum Database 5.28.0 build commit:x)".to_owned())
        );
    }
}
