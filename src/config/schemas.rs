//! AVRO_OPTION and PROTOBUF_OPTION: where schemas come from. Called by `content.rs`.

use std::path::PathBuf;

use crate::config::fields::{Fields, Wrong, must_be};
use crate::config::job::{Format, RegistryAt, SchemaSource};
use crate::config::password::password;
use crate::config::scalars::{text, trimmed, truth};
use crate::config::yaml::Node;
use crate::registry::TlsVersion;

/// AVRO_OPTION. Reads and finishes the block.
pub(super) fn avro(mut block: Fields<'_>) -> Option<Format> {
    let registry = registry(&mut block);
    let path = block.read_at("SCHEMA_PATH_ON_GPDB", path);
    let bytes_to_base64 = block.read("BYTES_TO_BASE64", truth).unwrap_or(false);
    let file = path.map(|(_, path)| path);
    let schema = source(&mut block, registry, file, "SCHEMA_PATH_ON_GPDB");
    block.finish();
    Some(Format::Avro { schema: schema?, bytes_to_base64 })
}

/// PROTOBUF_OPTION. Reads and finishes the block.
pub(super) fn protobuf(mut block: Fields<'_>) -> Option<Format> {
    let registry = registry(&mut block);
    let file = block.read("DESCRIPTOR_SET", path);
    let message = block.read("MESSAGE", trimmed);
    if file.is_some() {
        block.miss("MESSAGE");
    } else if message.is_some() && registry.is_some() {
        block.complaints.warning(&block.span, "MESSAGE has no effect: a registry's messages bring their own", None);
    }
    let schema = source(&mut block, registry, file, "DESCRIPTOR_SET");
    block.finish();
    Some(Format::Protobuf { schema: schema?, message })
}

/// Exactly one of registry and file.
fn source(
    block: &mut Fields<'_>,
    registry: Option<RegistryAt>,
    file: Option<PathBuf>,
    file_key: &'static str,
) -> Option<SchemaSource> {
    match (registry, file) {
        (Some(_), Some(_)) => {
            let text = format!("{} has both a SCHEMA_REGISTRY_ADDR and a {file_key}", block.path);
            block.complaints.mistake(
                &block.span,
                text,
                Some("messages have an id in front, or they have not".to_owned()),
            );
            None
        }
        (Some(registry), None) => Some(SchemaSource::Registry(registry)),
        (None, Some(file)) => Some(SchemaSource::File(file)),
        (None, None) => {
            if !block.has("SCHEMA_REGISTRY_ADDR") && !block.has(file_key) && !block.has_unknown() {
                let text = format!("{} needs a SCHEMA_REGISTRY_ADDR or a {file_key}", block.path);
                block.complaints.mistake(&block.span, text, None);
            }
            None
        }
    }
}

/// The registry's keys; the original's decoders ran on segment hosts, and its names still say so.
fn registry(block: &mut Fields<'_>) -> Option<RegistryAt> {
    let urls = block.read("SCHEMA_REGISTRY_ADDR", urls);
    let user = block.read("SCHEMA_REGISTRY_USER", trimmed);
    let password = password(block, "SCHEMA_REGISTRY_PASSWORD");
    let ca_file = block.read("SCHEMA_CA_ON_GPDB", path);
    let certificate_file = block.read("SCHEMA_CERT_ON_GPDB", path);
    let key_file = block.read("SCHEMA_KEY_ON_GPDB", path);
    let min_tls_version = block.read("SCHEMA_MIN_TLS_VERSION", tls_version);
    let is_https = |urls: &Vec<String>| urls.iter().any(|url| url.starts_with("https://"));
    if urls.as_ref().is_some_and(|urls| !is_https(urls)) {
        for key in ["SCHEMA_CA_ON_GPDB", "SCHEMA_CERT_ON_GPDB", "SCHEMA_KEY_ON_GPDB", "SCHEMA_MIN_TLS_VERSION"] {
            if let Some(field) = block.entries().find(|field| field.key.name == key) {
                let text = format!("{key} has no effect: no address of the registry is https");
                block.complaints.warning(&field.key.span, text, None);
            }
        }
    }
    Some(RegistryAt { urls: urls?, user, password, ca_file, certificate_file, key_file, min_tls_version })
}

pub(super) fn path(node: &Node) -> Result<PathBuf, Wrong> {
    trimmed(node).map(PathBuf::from)
}

pub(super) fn tls_version(node: &Node) -> Result<TlsVersion, Wrong> {
    let version = text(node).ok().and_then(|text| TlsVersion::parse(&text));
    version.ok_or_else(|| must_be("1.0, 1.1, 1.2 or 1.3", node))
}

fn urls(node: &Node) -> Result<Vec<String>, Wrong> {
    let wrong = || must_be("URLs like `http://registry:8081`, parted by commas", node);
    let text = text(node).map_err(|_| wrong())?;
    let urls: Vec<String> = text.split(',').map(|url| url.trim().to_owned()).collect();
    let is_url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
    if urls.iter().all(is_url) { Ok(urls) } else { Err(wrong()) }
}
