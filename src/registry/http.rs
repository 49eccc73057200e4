//! One GET: bounded in time and size, followed through a few redirects, and its failures told apart.

use std::error::Error as _;
use std::io::Read;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::ACCEPT;
use reqwest::redirect::{Attempt, Policy};

use super::address::Address;
use super::answer;
use super::error::Error;
use super::settings::Settings;
use super::tls;
use crate::line;

/// The largest schemas in use come to a few hundred kilobytes; what is longer than this is no answer of a registry.
pub(super) const ANSWER_BYTES_MAX: usize = 16 << 20;

/// One to the leader of a registry, one to its new name, and some to spare.
const REDIRECTS_MAX: usize = 5;

/// What the registry calls its own answers, and what proxies before it let through.
const ACCEPTED: &str = "application/vnd.schemaregistry.v1+json, application/json";

/// Characters of what a server says that are shown.
const WORDS_MAX: usize = 200;

/// See the module.
pub(super) struct Http {
    client: Client,
    timeout: Duration,
}

impl Http {
    /// # Errors
    /// A file of TLS cannot be used, or the TLS library refuses what is asked of it.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let client = Client::builder()
            .user_agent(concat!("gpkafka/", env!("CARGO_PKG_VERSION")))
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout)
            .redirect(Policy::custom(redirect))
            .referer(false)
            // a registry stands beside the brokers, to which no proxy leads either
            .no_proxy();
        let client = tls::secured(client, settings)?;
        let client = client.build().map_err(|error| Error::Setting { cause: causes(&error).join(": ") })?;
        Ok(Self { client, timeout: settings.timeout })
    }

    /// What lies at a path below the address. `what` names it in errors.
    ///
    /// # Errors
    /// Every one that an [`Error`] can be after the start.
    ///
    /// # Blocks
    /// Up to the timeout. Not to be called on a thread of tokio's.
    pub fn get(&self, address: &Address, path: &[&str], query: &[(&str, &str)], what: &str) -> Result<Vec<u8>, Error> {
        let begun = Instant::now();
        let failed = |error: &reqwest::Error| self.failed(address, error);
        let request = address.get(&self.client, path, query).header(ACCEPT, ACCEPTED);
        let mut response = request.send().map_err(|error| failed(&error))?;
        let status = response.status();
        let bad = |cause: String| Error::BadAnswer { url: address.shown().to_owned(), what: what.to_owned(), cause };
        let too_long = || bad(format!("is longer than {} MiB", ANSWER_BYTES_MAX >> 20));
        if response.content_length().is_some_and(|length| length > ANSWER_BYTES_MAX as u64) {
            return Err(too_long());
        }
        let body = self.body(&mut response, begun).map_err(|error| match error {
            Unread::TooLong => too_long(),
            Unread::Slow => unreachable(address, &self.late()),
            Unread::Failed(error) => unreachable(address, &format!("its answer broke off: {error}")),
        })?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        Err(refusal(address, status, &body, what))
    }

    /// The answer, for as long as there is time and room for it. The client's own time begins anew with each piece.
    fn body(&self, response: &mut Response, begun: Instant) -> Result<Vec<u8>, Unread> {
        let mut body = Vec::new();
        let mut piece = vec![0; 16 << 10];
        loop {
            let read = match response.read(&mut piece) {
                Ok(0) => return Ok(body),
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) => return Err(Unread::Slow),
                Err(error) => return Err(Unread::Failed(deepest(&error))),
            };
            if body.len() + read > ANSWER_BYTES_MAX {
                return Err(Unread::TooLong);
            }
            if begun.elapsed() > self.timeout {
                return Err(Unread::Slow);
            }
            body.extend_from_slice(&piece[..read]);
        }
    }

    fn failed(&self, address: &Address, error: &reqwest::Error) -> Error {
        if error.is_redirect() {
            let causes = causes(error);
            let cause = causes.last().cloned().unwrap_or_default();
            return Error::BadAnswer {
                url: address.shown().to_owned(),
                what: "where to go".to_owned(),
                cause: format!("cannot be followed: {cause}"),
            };
        }
        if error.is_timeout() {
            return unreachable(address, &self.late());
        }
        unreachable(address, &explained(&causes(error), address.shown().starts_with("https:")))
    }

    fn late(&self) -> String {
        format!("no whole answer within {} ms", self.timeout.as_millis())
    }
}

/// Why an answer was not read to its end.
enum Unread {
    TooLong,
    Slow,
    Failed(String),
}

fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let was_secure = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > REDIRECTS_MAX {
        attempt.error(format!("it leads on and on, more than {REDIRECTS_MAX} times"))
    } else if was_secure && attempt.url().scheme() != "https" {
        attempt.error("it leads away from https")
    } else {
        attempt.follow()
    }
}

fn unreachable(address: &Address, cause: &str) -> Error {
    Error::Unreachable { cause: format!("schema registry {}: {cause}", address.shown()) }
}

/// What an answer that is not 200 comes to.
fn refusal(address: &Address, status: StatusCode, body: &[u8], what: &str) -> Error {
    let url = address.shown().to_owned();
    let what = what.to_owned();
    let words =
        answer::error_words(body).map_or_else(String::new, |words| format!(": {}", line::excerpt(&words, WORDS_MAX)));
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Refused { url, status: status.to_string(), what },
        StatusCode::NOT_FOUND if answer::is_of_registry(body) => Error::NotFound { url, what },
        StatusCode::NOT_FOUND => {
            let cause = format!("is {status}, and not as a registry says it: check the path of the address{words}");
            Error::BadAnswer { url, what, cause }
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            unreachable(address, &format!("{status}{words}"))
        }
        _ if status.is_server_error() => unreachable(address, &format!("{status}{words}")),
        _ => Error::BadAnswer { url, what, cause: format!("is {status}{words}") },
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<reqwest::Error>());
    error.kind() == std::io::ErrorKind::TimedOut || inner.is_some_and(reqwest::Error::is_timeout)
}

/// The chain of an error's causes, from the outside in, without what an inner one says again.
fn causes(error: &reqwest::Error) -> Vec<String> {
    let mut texts = Vec::new();
    let mut source = error.source();
    while let Some(error) = source {
        texts.push(line::excerpt(&error.to_string(), WORDS_MAX));
        source = error.source();
    }
    texts
}

fn deepest(error: &std::io::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.get_ref().and_then(|inner| inner.source());
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    line::excerpt(&text, WORDS_MAX)
}

/// The TLS library names its functions; what a user can do about the common cases is said here.
fn explained(causes: &[String], is_secure: bool) -> String {
    let last = causes.last().cloned().unwrap_or_else(|| "no connection".to_owned());
    let says = |words: &str| causes.iter().find(|cause| cause.contains(words));
    if let Some(cause) = says("certificate verify failed") {
        let reason = cause.rsplit_once('(').map_or(cause.as_str(), |(_, reason)| reason.trim_end_matches(')'));
        return format!(
            "its certificate cannot be trusted: {reason}; the CA file is to hold the authority that signed it"
        );
    }
    if says("alert certificate required")
        .or_else(|| says("alert handshake failure"))
        .or_else(|| says("alert bad certificate"))
        .is_some()
    {
        return format!("it turns our TLS certificate down, or the lack of one; name a client certificate ({last})");
    }
    if says("alert unknown ca").is_some() {
        return format!("it does not know the authority that signed our client certificate ({last})");
    }
    if says("unsupported protocol").or_else(|| says("protocol version")).is_some() {
        return format!("it speaks no version of TLS that we may; see the minimum TLS version ({last})");
    }
    if says("wrong version number").or_else(|| says("packet length too long")).is_some() {
        return format!("it does not speak TLS; write http:// for https:// ({last})");
    }
    if is_secure && says("Connection reset by peer").is_some() {
        // by TLS 1.3 a client speaks before the server has looked at its certificate; a server that then leaves what was
        // said unread resets the connection, and its alert may be lost
        return "it reset the connection, as it may where it wants a client certificate and gets none that it trusts"
            .to_owned();
    }
    if last == "unexpected EOF" {
        return "it closed the connection in the middle of the TLS handshake; does it speak https at this port?"
            .to_owned();
    }
    last
}
