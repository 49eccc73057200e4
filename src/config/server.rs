//! gpss.json, as far as a load needs it: where segments call back, and with which certificates. The rest of the original
//! server's settings is known by name and said to have no effect. JSON is YAML too, so it is read by the same means, places
//! and all.

use std::net::IpAddr;
use std::path::Path;

use crate::config::fields::{Fields, Wrong, must_be};
use crate::config::file::host;
use crate::config::problem::{Complaints, Problem, Refusal};
use crate::config::scalars::{own_port, text, truth};
use crate::config::schemas::{path, tls_version};
use crate::config::template::Filled;
use crate::config::yaml::Node;
use crate::config::{Variables, read, text_of, understood};
use crate::gpfdist::{TlsFiles, TlsVersion};
use crate::registry::TlsVersion as Asked;

/// The gpfdist part of a gpss.json file (`--config`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerFile {
    /// The name that segments call.
    pub host: Option<String>,
    pub port: Option<u16>,
    /// The address to listen on.
    pub bind_address: Option<IpAddr>,
    /// Whether an external table that is there already is used again.
    pub reuse_tables: Option<bool>,
    /// With it segments call over TLS.
    pub certificate: Option<TlsFiles>,
    /// It is shown to the database too.
    pub shares_certificate: bool,
    /// What has no effect, in the order of the file.
    pub warnings: Vec<Problem>,
}

/// Settings of the original server that mean nothing to a load.
const OTHERS: [&str; 7] =
    ["ListenAddress", "Certificate", "Shadow", "Authentication", "JobStore", "Logging", "Monitor"];

/// Reads a gpss.json file.
///
/// # Errors
/// As [`crate::config::load`].
pub fn load_server_file(path: &Path) -> Result<ServerFile, Refusal> {
    parse(path, read(path)?)
}

pub(super) fn parse(path: &Path, bytes: Vec<u8>) -> Result<ServerFile, Refusal> {
    let filled = Filled::new(text_of(path, bytes)?, &Variables::new());
    let (file, warnings) = understood(path, &filled, server_file)?;
    Ok(ServerFile { warnings, ..file })
}

fn server_file(complaints: &Complaints<'_>, root: &Node) -> Option<ServerFile> {
    let mut fields = Fields::new(complaints, String::new(), &(0..0), root)?;
    let file = fields.block("Gpfdist").map(gpfdist).unwrap_or_default();
    for key in OTHERS.into_iter().chain(["KeepAlive"]) {
        if let Some(field) = fields.take(key) {
            complaints.warning(&field.key.span, format!("{key} has no effect on a load"), None);
        }
    }
    fields.finish();
    Some(file)
}

fn gpfdist(mut fields: Fields<'_>) -> ServerFile {
    let certificate = fields.block("Certificate").and_then(certificate);
    let file = ServerFile {
        host: fields.read("Host", host),
        port: fields.read("Port", own_port),
        bind_address: fields.read("BindAddress", address),
        reuse_tables: fields.read("ReuseTables", truth),
        shares_certificate: certificate.as_ref().is_some_and(|(_, is_shared)| *is_shared),
        certificate: certificate.map(|(files, _)| files),
        warnings: Vec::new(),
    };
    fields.finish();
    file
}

/// The files, and whether the database is shown them too.
fn certificate(mut fields: Fields<'_>) -> Option<(TlsFiles, bool)> {
    let certificate = fields.require("CertFile", path);
    let key = fields.require("KeyFile", path);
    let authorities = fields.read("CAFile", path);
    let min_version = fields.read_at("MinTLSVersion", tls_version).map_or(TlsVersion::default(), |(field, version)| {
        if version < Asked::V1_2 {
            let text = "MinTLSVersion below 1.2 has no effect: no segment needs what is older";
            fields.complaints.warning(field.span(), text, None);
        }
        if version == Asked::V1_3 { TlsVersion::V1_3 } else { TlsVersion::V1_2 }
    });
    let is_shared = fields.read("DBClientShared", truth).unwrap_or(false);
    fields.finish();
    Some((TlsFiles { certificate: certificate?, key: key?, authorities, min_version }, is_shared))
}

fn address(node: &Node) -> Result<IpAddr, Wrong> {
    let wrong = || must_be("an IP address like `0.0.0.0`", node);
    text(node).map_err(|_| wrong())?.trim().parse().map_err(|_| wrong())
}
