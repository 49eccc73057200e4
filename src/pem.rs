//! Certificates and keys in PEM files, read and checked: what is wrong with one is told before anybody shakes hands.
//! Whose file it is and what it is for, whoever asks says.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

/// All authorities of a system come to a fifth of this.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The certificates of a file, at least one.
///
/// # Errors
/// Why it cannot be used, without its name.
pub fn certificates(path: &Path) -> Result<Vec<X509>, String> {
    let found = X509::stack_from_pem(&read(path)?).map_err(|_| "a certificate in it is damaged")?;
    if found.is_empty() {
        return Err("there is no certificate in it; it is to hold PEM, -----BEGIN CERTIFICATE-----".to_owned());
    }
    Ok(found)
}

/// The private key of a file, which is that of the first of these certificates. `certificate_path` is where they are from.
///
/// # Errors
/// Why it cannot be used, without its name.
pub fn key_of(certificates: &[X509], certificate_path: &Path, path: &Path) -> Result<PKey<Private>, String> {
    let key = key(&read(path)?)?;
    let own = certificates.first().and_then(|first| first.public_key().ok());
    if !own.is_some_and(|own| own.public_eq(&key)) {
        return Err(format!("this is not the key of the first certificate in {}", certificate_path.display()));
    }
    Ok(key)
}

fn key(pem: &[u8]) -> Result<PKey<Private>, String> {
    let mut is_locked = false;
    // without a callback of ours the library would ask on the terminal
    let key = PKey::private_key_from_pem_callback(pem, |_| {
        is_locked = true;
        Ok(0)
    });
    match key {
        _ if is_locked => {
            Err("the key in it is encrypted; write it anew without a passphrase: `openssl pkey -in FILE \
                               -out NEW`, readable for this user alone"
                .to_owned())
        }
        Ok(key) => Ok(key),
        Err(_) => Err("there is no private key in it; it is to hold PEM, -----BEGIN PRIVATE KEY-----".to_owned()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err("it is larger than 1 MiB, so it holds something else".to_owned());
    }
    Ok(bytes)
}
