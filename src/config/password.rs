//! PASSWORD: in clear text, as `SHADOW:…`, or the name of a variable of the environment. No message and no picture shows
//! one. Called by `file.rs`; what else knows passwords is for cli to ask.

use crate::config::fields::{Fields, Wrong};
use crate::config::scalars::text;
use crate::config::shadow::{self, Unreadable};
use crate::config::yaml::Content;
use crate::password::Password;

/// Reads a password under this key.
pub(super) fn password(fields: &mut Fields<'_>, key: &'static str) -> Option<Password> {
    let field = fields.take(key).filter(|field| field.node.content != Content::Null)?;
    let written = match text(field.node) {
        Ok(text) if text.is_empty() => return None,
        Ok(text) if fields.complaints.leaves_secrets() => return Some(Password::new(text)),
        Ok(text) => clear(&text),
        Err(Wrong { text, hint }) => Err((text, hint)),
    };
    match written {
        Ok(clear) => Some(Password::new(clear)),
        Err((text, hint)) => {
            let text = format!("`{}` {text}", field.key.written);
            fields.complaints.mistake_in_secret(field.span(), text, hint);
            None
        }
    }
}

/// What a written password stands for; else what is wrong with it, and what to do.
fn clear(written: &str) -> Result<String, (String, Option<String>)> {
    if let Some(rest) = written.strip_prefix(shadow::PREFIX) {
        let again = |text: &str| (text.to_owned(), Some("run `gpkafka shadow` and put what it prints here".to_owned()));
        return shadow::clear(rest).map_err(|why| match why {
            Unreadable::NotOurs => again("is a `SHADOW:` of another program, whose method is not public"),
            Unreadable::Damaged => again("is a `SHADOW:` of which something is missing or mistyped"),
        });
    }
    let Some(name) = written.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return Ok(written.to_owned());
    };
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return Err(("must be the name of a variable in `${…}`: letters, digits and _".to_owned(), None));
    }
    let missing = || (format!("is ${{{name}}}, which the environment does not have"), Some(format!("export {name}=…")));
    std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(missing)
}
