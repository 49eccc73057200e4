//! What a registry answers: JSON into words. Unknown fields are read past; registries of other makers have some.

use serde::Deserialize;

use crate::schema::SchemaKind;

/// A schema as the registry tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Told {
    /// Where it was asked for by subject.
    #[serde(default)]
    pub id: Option<u32>,
    #[serde(rename = "schema")]
    pub text: String,
    #[serde(default, rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Option<Vec<Pointer>>,
}

/// Where a reference leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Pointer {
    /// What the schema that refers calls it.
    pub name: String,
    pub subject: String,
    pub version: i64,
}

impl Told {
    /// # Errors
    /// What is wrong with the answer, to follow `the answer about schema 7`.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| {
            if error.is_data() {
                format!("is not of the form of a registry's: {error}")
            } else {
                format!("is not JSON: {error}")
            }
        })
    }

    /// # Errors
    /// It is a language that is not known here.
    pub fn kind(&self) -> Result<SchemaKind, String> {
        match self.kind.as_deref() {
            // registries older than other kinds do not name this one, and newer ones leave it out
            None | Some("AVRO") => Ok(SchemaKind::Avro),
            Some("PROTOBUF") => Ok(SchemaKind::Protobuf),
            Some("JSON") => Ok(SchemaKind::Json),
            Some(other) => Err(format!("names a schema of type {other:?}; known are AVRO, PROTOBUF and JSON")),
        }
    }

    pub fn references(&self) -> &[Pointer] {
        self.references.as_deref().unwrap_or_default()
    }
}

/// Reads what may be a registry's answer, whatever its status was: for whoever wants to know that nothing that comes over
/// the network does harm.
///
/// # Errors
/// What is wrong with it.
pub fn check(body: &[u8]) -> Result<SchemaKind, String> {
    drop((error_words(body), is_of_registry(body)));
    Told::parse(body)?.kind()
}

/// What a registry says with a status that is not 200.
pub(super) fn error_words(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Words {
        message: String,
    }
    serde_json::from_slice(body).map(|words: Words| words.message).ok()
}

/// Whether it is a registry that has no such thing: of a path that it does not know it says the bare 404, and other
/// servers say nothing that is a number.
pub(super) fn is_of_registry(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Code {
        error_code: u32,
    }
    serde_json::from_slice(body).is_ok_and(|code: Code| code.error_code / 100 == 404)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in r#"(\{|\}|\[|\]|"schema"|"schemaType"|"references"|"message"|:|,|null|-?[0-9]{1,30}|"[^"]{0,5}"){0,20}"#, cut in any::<prop::sample::Index>()) {
            let body = &body.as_bytes()[..cut.index(body.len() + 1)];
            if let Ok(told) = Told::parse(body) {
                drop((told.kind(), told.references().len()));
            }
            drop((error_words(body), is_of_registry(body)));
        }
    }

    #[test]
    fn a_path_that_nobody_knows_is_no_missing_schema() {
        assert!(is_of_registry(br#"{"error_code": 40403, "message": "Schema 5 not found"}"#));
        assert!(is_of_registry(br#"{"error_code": 40401}"#));
        for other in [r#"{"error_code": 404, "message": "HTTP 404 Not Found"}"#, "<html>", "{}", ""] {
            assert!(!is_of_registry(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_schema_without_a_type_is_avro() {
        let told = Told::parse(br#"{"schema": "\"int\"", "guid": "x", "maxId": 7}"#).unwrap();
        assert_eq!((told.kind(), told.text.as_str(), told.references()), (Ok(SchemaKind::Avro), "\"int\"", &[][..]));
        let told = Told::parse(br#"{"schema": "", "schemaType": null, "references": null}"#).unwrap();
        assert_eq!((told.kind(), told.references().len()), (Ok(SchemaKind::Avro), 0));
    }

    #[test]
    fn kinds_and_references_are_read() {
        let body = br#"{"subject": "s", "version": 2, "id": 9, "schema": "x", "schemaType": "PROTOBUF",
            "references": [{"name": "a.proto", "subject": "a", "version": 3}]}"#;
        let told = Told::parse(body).unwrap();
        assert_eq!((told.kind(), told.id), (Ok(SchemaKind::Protobuf), Some(9)));
        let pointer = Pointer { name: "a.proto".to_owned(), subject: "a".to_owned(), version: 3 };
        assert_eq!(told.references(), [pointer]);
        let told = Told::parse(br#"{"schema": "x", "schemaType": "THRIFT"}"#).unwrap();
        assert_eq!(told.kind().unwrap_err(), r#"names a schema of type "THRIFT"; known are AVRO, PROTOBUF and JSON"#);
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        let said = |body: &[u8]| Told::parse(body).unwrap_err();
        assert!(said(b"<html>").starts_with("is not JSON: "), "{}", said(b"<html>"));
        assert!(said(b"").starts_with("is not JSON: "));
        assert!(said(b"{}").starts_with("is not of the form of a registry's: missing field `schema`"));
        assert!(said(br#"{"schema": {}}"#).starts_with("is not of the form of a registry's: "));
        assert!(said(&[b'['; 1000]).starts_with("is not"));
    }

    #[test]
    fn a_registrys_own_words_are_found() {
        let body = br#"{"error_code": 40403, "message": "Schema 5 not found"}"#;
        assert_eq!(error_words(body).as_deref(), Some("Schema 5 not found"));
        assert_eq!(error_words(b"nginx"), None);
    }
}
