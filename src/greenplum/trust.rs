//! What a segment says of TLS to the loader that came to nothing, in words for whoever runs a load: cause, then what to do.
//! Pure; `reach` calls it. The words are those of Greenplum's `url_curl.c`, of libcurl and of OpenSSL.

const LOADERS: &str = "have CertFile of the file that --config names hold another one";
const NAME: &str = "give --gpfdist-host a name that is in it, or have one made for the name that segments call";
const ROOT: &str =
    "have gpfdists/root.crt in the data directory of each segment hold the authority of the loader's CertFile";
const CLIENT: &str =
    "have gpfdists/client.crt in the data directory of each segment be one by an authority of the loader's CAFile";
const FILES: &str = "the data directory of each segment is to hold gpfdists/client.crt, its gpfdists/client.key without a \
    passphrase, and gpfdists/root.crt, for the server's user to read";
const VERSION: &str = "look at MinTLSVersion of the file that --config names";

/// What libcurl or the segment itself says, what that means, and what to do. The first that is found counts; where nothing
/// is meant the words themselves are the cause.
const WORDS: [(&str, &str, &str); 15] = [
    ("no alternative certificate subject name matches", "the loader's certificate is not for this name", NAME),
    ("does not match target host name", "the loader's certificate is not for this name", NAME),
    ("SSL certificate problem: certificate has expired", "the loader's certificate has expired", LOADERS),
    (
        "SSL certificate problem: certificate is not yet valid",
        "the loader's certificate is not valid yet there",
        LOADERS,
    ),
    ("SSL certificate problem", "the segment does not trust the authority of the loader's certificate", ROOT),
    ("alert unknown ca", "the loader does not trust the authority of the segment's certificate", CLIENT),
    ("alert certificate expired", "the segment's certificate has expired", CLIENT),
    ("alert certificate required", "the segment has shown no certificate", CLIENT),
    ("alert bad certificate", "the loader refuses the segment's certificate", CLIENT),
    ("alert unsupported certificate", "the segment's certificate is not one for clients", CLIENT),
    ("alert protocol version", "segment and loader have no version of TLS in common", VERSION),
    ("unable to set private key file", "gpfdists/client.key there is not the key of client.crt, or encrypted", FILES),
    ("could not load PEM client certificate", "gpfdists/client.crt there holds no certificate", FILES),
    ("error setting certificate", "gpfdists/root.crt there holds no certificate", FILES),
    ("wrong version number", "what answers there does not speak TLS", "have each loader listen at a port of its own"),
];

/// Cause and advice, where these are words about TLS.
pub(super) fn distrust(said: &str) -> Option<(String, &'static str)> {
    let (_, cause, advice) = WORDS.iter().find(|(words, ..)| said.contains(words))?;
    Some(((*cause).to_owned(), advice))
}

/// The same for a file that a segment cannot open: `could not open … file "…/gpfdists/client.crt": No such file…`.
pub(super) fn unopened(text: &str) -> Option<(String, &'static str)> {
    let (_, rest) = text.split_once("could not open ")?;
    let (_, rest) = rest.split_once('"')?;
    let (path, rest) = rest.split_once('"')?;
    let why = rest.trim_start_matches(": ").split("  (seg").next()?.to_lowercase();
    path.contains("/gpfdists/").then(|| (format!("{path}: {why}"), FILES))
}
