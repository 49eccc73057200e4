//! One address of a registry: where to send requests, and what of it may be shown.

use std::fmt;

use reqwest::Url;
use reqwest::blocking::{Client, RequestBuilder};

use super::error::Error;
use super::settings::Settings;

/// See the module.
#[derive(Clone)]
pub(super) struct Address {
    /// With credentials where it brought some; the HTTP client takes them out of it.
    url: Url,
    /// Without.
    shown: String,
    /// For a `url` that brings none.
    user: Option<(String, Option<String>)>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Address {
    /// # Errors
    /// It is none, or none that HTTP leads to.
    pub fn new(text: &str, settings: &Settings) -> Result<Self, Error> {
        let shown = Self::without_credentials(text);
        let wrong = |cause: String| Error::Setting { cause: format!("address \"{shown}\": {cause}") };
        let mut url = Url::parse(text.trim())
            .map_err(|error| wrong(format!("{error}; write it as http://host:8081 or https://host:8081")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("it begins with neither http:// nor https://".to_owned()));
        }
        url.set_query(None);
        url.set_fragment(None);
        let brings_user = !url.username().is_empty();
        let password = || settings.password.as_ref().map(|password| password.reveal().to_owned());
        let user = settings.user.clone().filter(|_| !brings_user).map(|user| (user, password()));
        Ok(Self { url, shown, user })
    }

    /// An address as it may be shown, be it good or not.
    pub fn without_credentials(text: &str) -> String {
        let text = text.trim();
        match Url::parse(text) {
            Ok(mut url) if url.has_host() => {
                // a URL with a host has a place for both
                let stripped = url.set_username("").and_then(|()| url.set_password(None));
                if stripped.is_ok() { url.as_str().trim_end_matches('/').to_owned() } else { String::new() }
            }
            // a password may stand before any @
            _ => text.rsplit('@').next().unwrap_or_default().to_owned(),
        }
    }

    /// As it may be shown.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// A GET of what lies at a path below the address, element by element.
    pub fn get(&self, client: &Client, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = client.get(url);
        match &self.user {
            Some((user, password)) => request.basic_auth(user, password.as_ref()),
            None => request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_credentials() {
        for (text, shown) in [
            ("http://u:p@host:8081/", "http://host:8081"),
            ("https://u@host/registry/", "https://host/registry"),
            (" http://host ", "http://host"),
            ("host:8081", "host:8081"),
            ("u:p@host:8081", "host:8081"),
            ("http://u:p@", ""),
        ] {
            assert_eq!(Address::without_credentials(text), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_to_write() {
        let said = |text: &str| Address::new(text, &Settings::new([text])).unwrap_err().to_string();
        assert_eq!(
            said("u:secret@host"),
            "schema registry: address \"host\": it begins with neither http:// nor https://"
        );
        assert_eq!(
            said("/schemas"),
            "schema registry: address \"/schemas\": relative URL without a base; write it as http://host:8081 or \
             https://host:8081"
        );
        assert!(said("ftp://host").ends_with("it begins with neither http:// nor https://"));
    }

    #[test]
    fn a_path_is_added_element_by_element() {
        let client = Client::new();
        let url = |address: &str, path: &[&str], query: &[(&str, &str)]| {
            let address = Address::new(address, &Settings::new([address])).unwrap();
            address.get(&client, path, query).build().unwrap().url().to_string()
        };
        assert_eq!(url("http://host:8081", &["schemas", "ids", "7"], &[]), "http://host:8081/schemas/ids/7");
        assert_eq!(
            url("http://host/api/?x#y", &["subjects", "a/b ü?"], &[]),
            "http://host/api/subjects/a%2Fb%20%C3%BC%3F"
        );
        assert_eq!(url("http://u:p@host", &["x"], &[("deleted", "true")]), "http://host/x?deleted=true");
    }

    #[test]
    fn credentials_of_the_address_come_before_those_of_the_settings() {
        let client = Client::new();
        let sent = |address: &str| {
            let mut settings = Settings::new([address]);
            settings.user = Some("etl".to_owned());
            settings.password = Some(crate::password::Password::new("pass"));
            let request = Address::new(address, &settings).unwrap().get(&client, &["x"], &[]).build().unwrap();
            request.headers()["authorization"].to_str().unwrap().to_owned()
        };
        // `etl:pass` and `ü:p:q` in base64
        assert_eq!(sent("http://host"), "Basic ZXRsOnBhc3M=");
        assert_eq!(sent("http://%C3%BC:p%3Aq@host"), "Basic w7w6cDpx");
    }
}
