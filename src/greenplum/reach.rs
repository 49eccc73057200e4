//! A segment that could not reach the loader: the database's own words, taken apart into which segment, which address
//! and why. Pure. The words are those of Greenplum's `url_curl.c` and `cdbutil.c`, and of PostgreSQL's `COPY … PROGRAM`.

use super::failure::Error;
use super::trust::{distrust, unopened};

/// What the database said, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "segment {segment}{at} could not read from this loader{address}{resolved}: {cause}; {advice}{trial}; `gpkafka doctor` \
     tries each segment",
    at = .host.as_deref().map(|host| format!(" ({host})")).unwrap_or_default(),
    address = .address.as_deref().map(|address| format!(" at {address}")).unwrap_or_default(),
    trial = .address.as_deref().map(|address| format!("; to try it from there: {}", trial(address, *.has_tls)))
        .unwrap_or_default(),
    resolved = .resolved.as_deref().map(|to| format!(" (resolved to {to})")).unwrap_or_default()
)]
pub struct Unreached {
    segment: u32,
    /// Its own `address:port`, where the words have it.
    host: Option<String>,
    /// As the external table has it, where the words do.
    address: Option<String>,
    has_tls: bool,
    /// What the segment made of that, where it was a name.
    resolved: Option<String>,
    cause: String,
    advice: &'static str,
}

/// A segment that got nothing from an external table's server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Astray {
    pub segment: u32,
    /// What the name of the server resolved to there, where that was told.
    pub resolved: Option<String>,
    /// Why, in lower case.
    pub cause: String,
    /// What to do, where that is known.
    pub advice: Option<&'static str>,
}

/// A command for a segment's host that shows whether it reaches a loader at this address.
pub fn trial(address: &str, has_tls: bool) -> String {
    match has_tls {
        false => format!("curl http://{address}/gpfdist/status"),
        true => format!(
            "curl --cacert root.crt --cert client.crt --key client.key https://{address}/gpfdist/status in gpfdists of its \
             data directory"
        ),
    }
}

impl Error {
    /// The segment that an error is about, and what it says of it: one that did not reach the loader, or was told
    /// something else than rows.
    pub fn astray(&self) -> Option<Astray> {
        match self {
            Self::Unreached { what, .. } => {
                let Unreached { segment, ref resolved, ref cause, advice, .. } = **what;
                Some(Astray { segment, resolved: resolved.clone(), cause: cause.clone(), advice: Some(advice) })
            }
            Self::Sql { text, .. } if text.contains("gpfdist") => {
                let (_, rest) = text.rsplit_once("(seg")?;
                let cause = text.split(" (seg").next().unwrap_or_default().trim_end().to_owned();
                Some(Astray { segment: number(rest)?, resolved: None, cause, advice: None })
            }
            _ => None,
        }
    }
}

/// What stands before the reason of a connection that failed, see `url_curl.c`.
const FAILED: &str = "connection with gpfdist failed for ";
const UNRESOLVED: &str = "hostname cannot be resolved ";

/// The failure, where these are the words of one.
pub(super) fn unreached(state: &str, text: &str) -> Option<Unreached> {
    let (segment, (cause, advice)) = match state {
        "38000" => {
            let cause = "the program that stands for a segment failed".to_owned();
            (text.split_once("--segment-id ")?.1, (cause, PROGRAM_ADVICE))
        }
        _ if text.contains(UNRESOLVED) => {
            (text.split_once("(seg")?.1, ("the name does not resolve there".to_owned(), SEGMENT_ADVICE))
        }
        _ if text.contains(FAILED) => (text.rsplit_once("(seg")?.1, failed(text)?),
        _ => (text.rsplit_once("(seg")?.1, unopened(text)?),
    };
    let host = segment.split_whitespace().find(|word| state != "38000" && word.contains(':'));
    let address = address(text);
    Some(Unreached {
        segment: number(segment)?,
        host: host.map(str::to_owned),
        resolved: resolved(text)
            .filter(|to| address.as_deref().is_some_and(|address| !address.starts_with(&format!("{to}:")))),
        has_tls: text.contains("gpfdists://"),
        address,
        cause,
        advice,
    })
}

const SEGMENT_ADVICE: &str = "give --gpfdist-host an address of this machine that every segment host can reach";

/// Its standard error goes where the server's does.
const PROGRAM_ADVICE: &str = "the reason is in the database server's log";

/// Why a connection failed, and what to do.
fn failed(text: &str) -> Option<(String, &'static str)> {
    distrust(text).or_else(|| connection_error(text).map(|cause| (cause, SEGMENT_ADVICE)))
}

/// `… error code = 111 (Connection refused); (seg0 …`
fn connection_error(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("error code = ")?;
    let (_, reason) = rest.split_once('(')?;
    Some(reason.split_once(')')?.0.to_lowercase())
}

fn number(text: &str) -> Option<u32> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The address in `effective url: "http://192.0.2.1:8080/…`.
fn resolved(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("effective url: ")?;
    let (_, rest) = rest.split_once("://")?;
    let (host, _) = rest.split(['/', '"']).next()?.rsplit_once(':')?;
    Some(host.to_owned())
}

/// `host:port` of the first gpfdist url.
fn address(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("gpfdist")?.1.split_once("://")?;
    rest.split('/').next().map(str::to_owned)
}

/// The text without the tokens of our paths `/v1/<job>/<partitions>/<token>`: who has one may ask for rows.
pub(super) fn without_tokens(text: &str) -> String {
    let mut parts = text.split("/v1/");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str("/v1/");
        let secret = part.match_indices('/').nth(1).map(|(slash, _)| slash + 1);
        let end = secret.map(|from| from + part[from..].bytes().take_while(u8::is_ascii_hexdigit).count());
        match (secret, end) {
            (Some(from), Some(to)) if to > from => {
                shown.push_str(&part[..from]);
                shown.push_str("<token>");
                shown.push_str(&part[to..]);
            }
            _ => shown.push_str(part),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn the_words_of_a_segment_are_taken_apart() {
        let refused = "connection with gpfdist failed for \"gpfdist://etl1:8080/v1/4e/all/6b\", effective url: \
                       \"http://192.0.2.1:8080/v1/4e/all/6b\": error code = 111 (Connection refused);  \
                       (seg7 slice1 10.0.0.3:6002 pid=10442)";
        assert_eq!(
            unreached("08006", refused).unwrap().to_string(),
            "segment 7 (10.0.0.3:6002) could not read from this loader at etl1:8080 (resolved to 192.0.2.1): connection \
             refused; give --gpfdist-host an address of this machine that every segment host can reach; to try it from \
             there: curl http://etl1:8080/gpfdist/status; `gpkafka doctor` tries each segment"
        );
        let plain = unreached("08006", &refused.replace("etl1", "192.0.2.1")).unwrap().to_string();
        assert!(plain.contains("at 192.0.2.1:8080: connection refused;"), "{plain}");
        let unresolved = "hostname cannot be resolved 'gpfdist://etl.invalid:8080/v1/4e/all/a9' \
                          (seg1 slice1 127.0.0.1:6003 pid=10643)";
        let text = unreached("08006", unresolved).unwrap().to_string();
        assert!(text.contains("segment 1 (127.0.0.1:6003)"), "{text}");
        assert!(text.contains("at etl.invalid:8080: the name does not resolve there"), "{text}");
    }

    #[test]
    fn what_a_segment_says_of_tls_is_told_in_one_line() {
        let said = |curl: &str| {
            let text = format!(
                "connection with gpfdist failed for \"gpfdists://etl1:8080/v1/4e/all/6b\", effective url: \
                 \"https://etl1:8080/v1/4e/all/6b\": ; {curl}  (seg0 slice1 10.0.0.3:6002 pid=1)"
            );
            unreached("08006", &text).unwrap().to_string()
        };
        expect![[r#"
            segment 0 (10.0.0.3:6002) could not read from this loader at etl1:8080: the loader's certificate is not for this name; give --gpfdist-host a name that is in it, or have one made for the name that segments call; to try it from there: curl --cacert root.crt --cert client.crt --key client.key https://etl1:8080/gpfdist/status in gpfdists of its data directory; `gpkafka doctor` tries each segment"#]]
        .assert_eq(&said("SSL: no alternative certificate subject name matches target host name 'etl1'"));
        expect![[r#"
            segment 0 (10.0.0.3:6002) could not read from this loader at etl1:8080: the loader does not trust the authority of the segment's certificate; have gpfdists/client.crt in the data directory of each segment be one by an authority of the loader's CAFile; to try it from there: curl --cacert root.crt --cert client.crt --key client.key https://etl1:8080/gpfdist/status in gpfdists of its data directory; `gpkafka doctor` tries each segment"#]]
        .assert_eq(&said(
            "OpenSSL SSL_read: OpenSSL/3.0.22: error:0A000418:SSL routines::tlsv1 alert unknown ca, errno 0",
        ));
        let unopened = "could not open private key file \"/data/seg0/gpfdists/root.crt\": No such file or directory  (seg0 \
                        slice1 10.0.0.3:6002 pid=1)";
        expect![[r#"
            segment 0 (10.0.0.3:6002) could not read from this loader: /data/seg0/gpfdists/root.crt: no such file or directory; the data directory of each segment is to hold gpfdists/client.crt, its gpfdists/client.key without a passphrase, and gpfdists/root.crt, for the server's user to read; `gpkafka doctor` tries each segment"#]]
        .assert_eq(&unreached("58P01", unopened).unwrap().to_string());
        let cause = |curl: &str| distrust(curl).unwrap().0;
        expect!["gpfdists/client.key there is not the key of client.crt, or encrypted"]
            .assert_eq(&cause("unable to set private key file: '/d/gpfdists/client.key' type PEM"));
        expect!["the segment does not trust the authority of the loader's certificate"]
            .assert_eq(&cause("SSL certificate problem: unable to get local issuer certificate"));
        expect!["the segment's certificate has expired"]
            .assert_eq(&cause("error:0A000415:SSL routines::sslv3 alert certificate expired, errno 0"));
    }

    #[test]
    fn a_segment_that_met_another_server_is_told() {
        let text = "http response code 404 from gpfdist (gpfdist://a:1/v1/x/all/<token>): HTTP/1.0 404 file not found  \
                    (seg3 slice1 10.0.0.3:6002 pid=7)";
        let error = Error::Sql { doing: "trying".to_owned(), state: "08006".to_owned(), text: text.to_owned() };
        let cause = "http response code 404 from gpfdist (gpfdist://a:1/v1/x/all/<token>): HTTP/1.0 404 file not found";
        let astray = Astray { segment: 3, resolved: None, cause: cause.to_owned(), advice: None };
        assert_eq!(error.astray(), Some(astray));
        let other = Error::Sql { doing: "trying".to_owned(), state: "22P02".to_owned(), text: "x (seg3 y)".to_owned() };
        assert_eq!(other.astray(), None);
    }

    #[test]
    fn the_words_of_a_program_are_taken_apart() {
        let failed = "program \"exec '/srv/gpkafka' segment 'gpfdist://etl1:8080/v1/4e/all/6b' --segment-id 0 \
                      --segment-count 1 --xid pg-$PPID\" failed; child process exited with exit code 1";
        let text = unreached("38000", failed).unwrap().to_string();
        assert!(text.starts_with("segment 0 could not read from this loader at etl1:8080: the program"), "{text}");
        assert!(text.contains("the reason is in the database server's log"), "{text}");
    }

    #[test]
    fn other_words_stay_what_they_are() {
        assert!(unreached("22P02", "invalid input syntax for integer: \"x\"").is_none());
        assert!(unreached("08006", "http response code 409 from gpfdist (gpfdist://a:1/v1/x/all/ff): HTTP").is_none());
    }

    #[test]
    fn a_token_is_never_shown() {
        let text = "for \"gpfdist://a:1/v1/4e/all/6b7e0f\", url: \"http://a:1/v1/4e/0-3.7/6b7e0f\": no";
        let shown = "for \"gpfdist://a:1/v1/4e/all/<token>\", url: \"http://a:1/v1/4e/0-3.7/<token>\": no";
        assert_eq!(without_tokens(text), shown);
        for text in ["", "plain", "/v1/", "/v1/a/b", "/v1/a/b/"] {
            assert_eq!(without_tokens(text), text);
        }
    }
}
