//! From the path of a LOCATION to the files that it names, as Greenplum's gpfdist has it: percent-decoded, several parted
//! by spaces, each perhaps a pattern, a folder for what is in it. Nothing outside the served folder is ever named.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use super::Wrong;

/// The files of a path that came with a request, relative to `root`, which is canonical; in the order in which they are
/// to be read. Each is under the root by its name; whether a link leads it elsewhere is seen when it is opened.
///
/// # Errors
/// The path is no request for a file under the root, or there is none.
///
/// # Blocks
/// For the file system.
pub(super) fn files(root: &Path, asked: &str) -> Result<Vec<PathBuf>, Wrong> {
    let decoded = decoded(asked);
    check(&decoded)?;
    let parts = decoded.split(|byte| *byte == b' ').map(without_slashes).filter(|part| !part.is_empty());
    let mut files = Vec::new();
    for part in parts {
        files.extend(matches(root, part));
    }
    if files.is_empty() {
        return Err(Wrong::new(400, "invalid request (unable to set path)"));
    }
    // folders alone stand for what is in them
    if files.iter().all(|file| root.join(file).is_dir()) {
        files = files.iter().flat_map(|folder| children(root, folder, b"*")).collect();
        if files.is_empty() {
            return Err(Wrong::new(404, "No matching file(s) found"));
        }
    }
    Ok(files)
}

/// `%41` becomes `A`; what is no such thing stays.
fn decoded(path: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).expect("two hex digits are a byte"));
                rest = &after[2..];
            }
            _ => {
                decoded.push(*byte);
                rest = after;
            }
        }
    }
    decoded
}

/// As gpfdist refuses them, with its words.
fn check(path: &[u8]) -> Result<(), Wrong> {
    if path.contains(&b'\\') {
        return Err(Wrong::new(400, "invalid request, escape character backslash '\\' is not allowed."));
    }
    if path.windows(2).any(|pair| pair == b"..") {
        return Err(Wrong::new(400, "invalid request due to relative path"));
    }
    if path.contains(&0) {
        return Err(Wrong::new(400, "invalid request: a path holds no NUL"));
    }
    Ok(())
}

fn without_slashes(path: &[u8]) -> &[u8] {
    let first = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    &path[first..]
}

/// What a pattern stands for, sorted; itself where it is none or matches nothing, and then opening it says what is wrong.
fn matches(root: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let literal = PathBuf::from(OsStr::from_bytes(pattern));
    if !is_pattern(pattern) {
        return vec![normal(&literal)];
    }
    let mut found = vec![PathBuf::new()];
    for part in literal.components() {
        let Component::Normal(part) = part else { continue };
        found = if is_pattern(part.as_bytes()) {
            found.iter().flat_map(|folder| children(root, folder, part.as_bytes())).collect()
        } else {
            let there = found.iter().map(|folder| folder.join(part));
            there.filter(|path| root.join(path).symlink_metadata().is_ok()).collect()
        };
    }
    if found.is_empty() { vec![normal(&literal)] } else { found }
}

/// Without `.` and doubled slashes; there is no `..` in it.
fn normal(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

/// What is in a folder and matches, sorted by its bytes.
fn children(root: &Path, folder: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
    let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
    names.retain(|name| is_match(pattern, name.as_bytes()));
    names.sort_unstable();
    names.iter().map(|name| folder.join(name)).collect()
}

fn is_pattern(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// As a shell matches one name: `*`, `?`, `[a-z]`, `[!a-z]`. A leading dot is matched by a dot alone.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    (name.first() != Some(&b'.') || pattern.first() == Some(&b'.')) && matches_rest(pattern, name)
}

fn matches_rest(mut pattern: &[u8], mut name: &[u8]) -> bool {
    // where to go on when what follows the last star does not match
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        let step = match (pattern, name) {
            ([], []) => return true,
            ([b'*', rest @ ..], _) => {
                star = Some((rest, name));
                Some((rest, name))
            }
            ([b'?', rest @ ..], [_, left @ ..]) => Some((rest, left)),
            ([b'[', set @ ..], [byte, left @ ..]) => match class(set, *byte) {
                Some((true, rest)) => Some((rest, left)),
                Some((false, _)) => None,
                // a bracket that nothing closes is itself
                None => (*byte == b'[').then_some((set, left)),
            },
            ([letter, rest @ ..], [byte, left @ ..]) if letter == byte => Some((rest, left)),
            _ => None,
        };
        (pattern, name) = match (step, star) {
            (Some(step), _) => step,
            (None, Some((rest, [_, left @ ..]))) => {
                star = Some((rest, left));
                (rest, left)
            }
            (None, _) => return false,
        };
    }
}

/// Whether a byte is in the class whose `[` is behind us, and what follows its `]`.
fn class(set: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (negated, body) = match set {
        [b'!' | b'^', body @ ..] => (true, body),
        _ => (false, set),
    };
    // a bracket that comes first is a member
    let end = 1 + body.get(1..)?.iter().position(|byte| *byte == b']')?;
    let mut members = &body[..end];
    let mut is_in = false;
    while let [first, rest @ ..] = members {
        (is_in, members) = match rest {
            [b'-', last, rest @ ..] => (is_in || (*first..=*last).contains(&byte), rest),
            _ => (is_in || *first == byte, rest),
        };
    }
    Some((is_in != negated, &body[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a.txt", "c.csv", ".hidden.txt", "a[1].txt", "x?y.txt"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        for name in ["in/one.txt", "in/two.txt", "out/one.txt"] {
            std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        dir
    }

    #[test]
    fn paths_and_patterns_name_files_in_order() {
        let dir = folder();
        for (asked, expected) in [
            ("/a.txt", "a.txt"),
            ("//./a.txt", "a.txt"),
            ("/%61%2etxt", "a.txt"),
            ("/100%25.txt", "100%.txt"),
            ("/a%2", "a%2"),
            ("/missing.txt", "missing.txt"),
            ("/*.txt", "a.txt a[1].txt b.txt x?y.txt"),
            ("/?.txt", "a.txt b.txt"),
            ("/[b-c].*", "b.txt c.csv"),
            ("/[!b].txt", "a.txt"),
            ("/*.none", "*.none"),
            ("/.h*", ".hidden.txt"),
            ("/in/*.txt", "in/one.txt in/two.txt"),
            ("/*/one.txt", "in/one.txt out/one.txt"),
            ("/in/", "in/one.txt in/two.txt"),
            ("/b.txt%20a.txt", "b.txt a.txt"),
            ("/b.txt%20/%20*.csv", "b.txt c.csv"),
        ] {
            let names: Vec<_> =
                files(dir.path(), asked).unwrap().iter().map(|file| file.display().to_string()).collect();
            assert_eq!(names.join(" "), expected, "{asked}");
        }
    }

    #[test]
    fn what_leads_out_or_nowhere_is_refused() {
        let dir = folder();
        for (asked, status, reason) in [
            ("/../a.txt", 400, "relative path"),
            ("/in/%2e%2e/a.txt", 400, "relative path"),
            ("/a..b.txt", 400, "relative path"),
            ("/%5c.%5c./a.txt", 400, "backslash"),
            ("/a.txt%00", 400, "NUL"),
            ("/", 400, "unable to set path"),
            ("/%20", 400, "unable to set path"),
            ("/empty", 404, "No matching file(s) found"),
        ] {
            let wrong = files(dir.path(), asked).unwrap_err();
            assert!(wrong.status == status && wrong.reason.contains(reason), "{asked}: {wrong:?}");
        }
    }

    #[test]
    fn a_name_matches_as_in_a_shell() {
        let table = [
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("*ab", "aab", true),
            ("[]a]", "]", true),
            ("[a", "[a", true),
            ("[^a]", "a", false),
            ("[a-]", "-", true),
            ("?", "", false),
            ("*.txt", "a.txt.gz", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(is_match(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
