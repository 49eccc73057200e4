//! The password file of PostgreSQL's own clients, `~/.pgpass`: what it says for a connection. Where the file is, and
//! whether others may read it, is for cli to look at.

/// The connection that a password is wanted for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub host: &'a str,
    pub port: u16,
    pub database: &'a str,
    pub user: &'a str,
}

/// The password of the first line that fits: `host:port:database:user:password`, where `*` fits all, and a backslash
/// takes a colon or a backslash for itself. Lines of fewer fields, and comments, fit nothing.
pub fn password(file: &str, wanted: &Wanted<'_>) -> Option<String> {
    file.lines().find_map(|line| of_line(line, wanted))
}

fn of_line(line: &str, wanted: &Wanted<'_>) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let port = wanted.port.to_string();
    let mut rest = line;
    for wanted in [wanted.host, &port, wanted.database, wanted.user] {
        let (field, after) = field(rest);
        let fits = rest.starts_with("*:") || field == wanted;
        rest = after.filter(|_| fits)?;
    }
    // like libpq: the password ends at a colon too
    Some(field(rest).0).filter(|password| !password.is_empty())
}

/// The first field, and what comes behind its colon, if there is one.
fn field(line: &str) -> (String, Option<&str>) {
    let mut text = String::new();
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ':' => return (text, Some(&line[at + 1..])),
            '\\' => text.push(chars.next().map_or('\\', |(_, escaped)| escaped)),
            c => text.push(c),
        }
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits() {
        let wanted = Wanted { host: "mdw", port: 5432, database: "a:b", user: "gp\\admin" };
        for (file, expected) in [
            ("mdw:5432:a\\:b:gp\\\\admin:one\nmdw:5432:*:*:two\n", Some("one")),
            ("# mdw:5432:*:*:no\nsdw:*:*:*:no\n*:*:*:*:yes\r\n", Some("yes")),
            ("mdw:5433:*:*:no\nmdw:*:*:*:p\\:q\\\\:rest", Some("p:q\\")),
            ("mdw:5432:a:b:gp\\\\admin:no", None),
            ("mdw:5432:*:*", None),
            ("mdw:5432:*:*:", None),
            ("m*:5432:*:*:no", None),
            ("\\*:5432:*:*:no", None),
            (" mdw:5432:*:*:no", None),
            ("*:*:*:*:é\\", Some("é\\")),
            ("", None),
        ] {
            assert_eq!(password(file, &wanted).as_deref(), expected, "{file}");
        }
    }
}
