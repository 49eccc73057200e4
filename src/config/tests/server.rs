//! gpss.json, right and wrong.

use super::*;
use crate::config::server;

fn said(text: &str) -> String {
    match server::parse(Path::new("gpss.json"), text.as_bytes().to_vec()) {
        Err(refusal) => render(&refusal, false, false),
        Ok(file) => {
            let heard = format!("{:?} {:?} {:?}\n", file.host, file.port, file.bind_address);
            let refusal = Refusal { path: "gpss.json".into(), text: text.to_owned(), problems: file.warnings };
            heard + &render(&refusal, false, false)
        }
    }
}

#[test]
fn the_gpfdist_part_counts() {
    expect![[r#"
        Some("etl1") Some(8319) Some(0.0.0.0)
        gpss.json:2:5: ListenAddress has no effect on a load
        gpss.json:4:5: Logging has no effect on a load
        gpss.json:5:5: KeepAlive has no effect on a load
    "#]]
    .assert_eq(&said(
        r#"{
    "ListenAddress": {"Host": "", "Port": 5000},
    "Gpfdist": {"Host": "etl1", "Port": 8319, "BindAddress": "0.0.0.0", "ReuseTables": true},
    "Logging": {"BackendLevel": "debug"},
    "KeepAlive": {}
}
"#,
    ));
    expect![[r#"
        None None None
    "#]]
    .assert_eq(&said("{}"));
}

#[test]
fn what_is_wrong_has_its_place() {
    expect![[r#"
        gpss.json:2:14: unknown key `Hst` under Gpfdist (did you mean `Host`?)
        gpss.json:2:37: `Port` must be a port from 1 to 65535, or 0 for any that is free, not `x`
        gpss.json:2:57: `BindAddress` must be an IP address like `0.0.0.0`, not `etl1`
        gpss.json:3:2: unknown key `gpfdist` at the top level (did you mean `Gpfdist`?)
        gpss.json:4:2: unknown key `Shadows` at the top level (did you mean `Shadow`?)
    "#]].assert_eq(&said(
        "{\n\t\"Gpfdist\": {\"Hst\": \"etl1\", \"Port\": \"x\", \"BindAddress\": \"etl1\"},\n\t\"gpfdist\": 1,\n\t\"Shadows\": {}\n}\n",
    ));
    expect![[r#"
        gpss.json:2:1: not YAML: did not find expected ',' or '}' while parsing a flow mapping
    "#]]
    .assert_eq(&said("{\"Gpfdist\": {\"Port\": 1,}\n"));
    expect![[r#"
        gpss.json:1:1: the file must be a block of keys, not a list
    "#]]
    .assert_eq(&said("[]"));
}

#[test]
fn a_certificate_is_understood_and_what_is_wrong_with_it_has_its_place() {
    let of = |inside: &str| {
        let text = format!(r#"{{"Gpfdist": {{"Certificate": {{{inside}}}}}}}"#);
        match server::parse(Path::new("gpss.json"), text.as_bytes().to_vec()) {
            Err(refusal) => render(&refusal, false, false),
            Ok(file) => format!("{:?} {} {:?}", file.certificate, file.shares_certificate, file.warnings.len()),
        }
    };
    expect![[r#"Some(TlsFiles { certificate: "a", key: "b", authorities: None, min_version: V1_2 }) false 0"#]]
        .assert_eq(&of(r#""CertFile": "a", "KeyFile": "b""#));
    expect![[r#"Some(TlsFiles { certificate: "a", key: "b", authorities: Some("c"), min_version: V1_3 }) true 0"#]]
        .assert_eq(&of(
            r#""CertFile": "a", "KeyFile": "b", "CAFile": "c", "MinTLSVersion": "1.3", "DBClientShared": true"#,
        ));
    expect![[r#"
        None None None
        gpss.json:1:80: MinTLSVersion below 1.2 has no effect: no segment needs what is older
    "#]]
    .assert_eq(&said(r#"{"Gpfdist": {"Certificate": {"CertFile": "a", "KeyFile": "b", "MinTLSVersion": "1.0"}}}"#));
    expect![[r#"
        gpss.json:1:14: `CertFile` is missing under Gpfdist.Certificate
        gpss.json:1:30: unknown key `KeyFil` under Gpfdist.Certificate (did you mean `KeyFile`?)
        gpss.json:1:62: `MinTLSVersion` must be 1.0, 1.1, 1.2 or 1.3, not `2`
        gpss.json:1:85: `DBClientShared` must be true or false, not `x`
    "#]]
    .assert_eq(&of(r#""KeyFil": "b", "MinTLSVersion": "2", "DBClientShared": "x""#));
}

/// Such a host in a LOCATION ends the server processes of Greenplum 6.
#[test]
fn a_host_is_a_host_alone() {
    for host in ["http://x", "a b", "x:8080", "127.0.0.1'x"] {
        let said = said(&format!(r#"{{"Gpfdist": {{"Host": "{host}"}}}}"#));
        assert!(said.starts_with("gpss.json:1:22: `Host` must be a host"), "{host}: {said}");
    }
}
