//! What can go wrong between this process and a schema registry, as one type; and which of it passes by itself.

use std::path::PathBuf;

/// An error of the registry's side, with what to do about it in its text. No credentials are in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting is wrong, or contradicts another.
    #[error("schema registry: {cause}")]
    Setting { cause: String },

    /// A file of certificates or a key cannot be used.
    #[error("schema registry, {role} {}: {cause}", .path.display())]
    File { role: &'static str, path: PathBuf, cause: String },

    /// No answer, or one that says that it is the registry's own trouble.
    #[error("{cause}")]
    Unreachable { cause: String },

    /// The registry has no such thing.
    #[error("schema registry {url} has no {what}")]
    NotFound { url: String, what: String },

    /// The registry answered and said no.
    #[error(
        "schema registry {url} refuses us ({status}): check user and password, or the client certificate, and that they \
         may read {what}"
    )]
    Refused { url: String, status: String, what: String },

    /// Something answered, and not as a registry does.
    #[error("schema registry {url}: the answer about {what} {cause}")]
    BadAnswer { url: String, what: String, cause: String },

    /// The registry answered well, with a schema that is of no use here.
    #[error("schema registry {url}: the answer about {what} {cause}")]
    BadSchema { url: String, what: String, cause: String },
}

impl Error {
    /// Whether the same call may succeed later without anybody changing a setting.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether it is about the one schema that was asked for; every other would be answered alike.
    pub fn is_of_schema(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::BadSchema { .. })
    }
}
