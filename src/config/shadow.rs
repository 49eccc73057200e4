//! `SHADOW:` passwords of our own: nobody reads one over a shoulder or finds one by searching for a word, and that is
//! all. The key is in this program, so whoever has the program can read them. A cipher with a checksum is used to know
//! ours from others, and whole ones from mistyped ones. Called by `password.rs` and cli.

use std::fmt::Write as _;

use chacha20poly1305::aead::Aead as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};

/// How such a password begins in a job file.
pub(super) const PREFIX: &str = "SHADOW:";

/// Ours, and the first way of making them; the original's are letters and digits alone.
const OURS: &str = "gpkafka-1-";

/// No secret, see above.
const KEY: &[u8; 32] = b"gpkafka: obfuscation, no secrets";

/// Bytes of salt: no two of one password are alike.
const SALT: usize = 12;

/// Why a `SHADOW:` password cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    NotOurs,
    Damaged,
}

/// `SHADOW:…` of a password, to be written into a job file.
///
/// # Errors
/// The system gives no random bytes.
pub fn shadowed(password: &str) -> Result<String, getrandom::Error> {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt)?;
    let hidden = ChaCha20Poly1305::new(KEY.into()).encrypt(&salt.into(), password.as_bytes());
    let hidden = hidden.expect("a password is far shorter than what the cipher takes");
    let mut text = format!("{PREFIX}{OURS}");
    for byte in salt.iter().chain(&hidden) {
        // writing to a String cannot fail
        let _infallible = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// The password behind `SHADOW:`.
pub(super) fn clear(shadowed: &str) -> Result<String, Unreadable> {
    let hex = shadowed.trim().strip_prefix(OURS).ok_or(Unreadable::NotOurs)?;
    let bytes = bytes_of(hex).filter(|bytes| bytes.len() > SALT).ok_or(Unreadable::Damaged)?;
    let salt: [u8; SALT] = bytes[..SALT].try_into().map_err(|_| Unreadable::Damaged)?;
    let clear = ChaCha20Poly1305::new(KEY.into()).decrypt(&salt.into(), &bytes[SALT..]);
    clear.ok().and_then(|clear| String::from_utf8(clear).ok()).ok_or(Unreadable::Damaged)
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let is_hex = hex.len().is_multiple_of(2) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pairs = (0..hex.len()).step_by(2);
    is_hex.then(|| pairs.filter_map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_hidden_is_found_and_changes_are_noticed(password in "\\PC{0,40}", at in any::<prop::sample::Index>()) {
            let shadowed = shadowed(&password).unwrap();
            prop_assert!(password.len() < 4 || !shadowed.contains(&password));
            let rest = &shadowed[PREFIX.len()..];
            prop_assert_eq!(clear(rest), Ok(password));
            let mut bytes = rest.as_bytes().to_vec();
            let at = OURS.len() + at.index(bytes.len() - OURS.len());
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            prop_assert_eq!(clear(std::str::from_utf8(&bytes).unwrap()), Err(Unreadable::Damaged));
        }
    }

    #[test]
    fn one_that_is_not_ours() {
        assert_eq!(clear("D4PTBOBVSYQS4WJ4DNRZ5GJJHRHFCWZB"), Err(Unreadable::NotOurs));
        assert_eq!(clear("gpkafka-1-zz"), Err(Unreadable::Damaged));
        assert_eq!(clear("gpkafka-1-"), Err(Unreadable::Damaged));
        assert_ne!(shadowed("secret").unwrap(), shadowed("secret").unwrap());
        // made by the first version that could; it stays readable
        assert_eq!(
            clear("gpkafka-1-f1e2995a6aab4aef5ad495c257e4bd17dffbfe29e74bb84854f295ad0af4019175e37860"),
            Ok("changeme".to_owned())
        );
    }
}
