//! A client of the Confluent Schema Registry's REST interface: from the id in a record to the schema that it was written
//! with, with all that the schema refers to.
//!
//! What a schema means is `decode`'s business; this stage brings texts. A schema never changes under its id, so each is
//! asked for once and then known for ever. What goes wrong is an [`Error`] that says whether it passes by itself.
//! Called by `job` on threads of its own; the HTTP client is the one package that is named nowhere else.
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | what the stage needs to know |
//! | `address.rs` | an address apart from the credentials in it |
//! | `tls.rs` | certificates and keys, read and checked at the start |
//! | `http.rs` | one GET: bounded in time and size, its failures told apart |
//! | `answer.rs` | JSON into words |
//! | `client.rs` | several addresses, references, what is known already |

mod address;
mod answer;
mod client;
mod error;
mod http;
mod settings;
mod tls;

pub use answer::check as check_answer;
pub use client::Registry;
pub use error::Error;
pub use settings::{Settings, TlsVersion};
