//! Messages of the micro benchmarks.

#![allow(dead_code, reason = "no benchmark needs all of them")]

/// What the end-to-end benchmark loads: 92 bytes in 6 columns.
pub const CSV: &str = "1234567,42,2024-11-22 18:56:50.123456,customer-00012345,1234.56,some words about the order abcd";
pub const QUOTED: &str = r#""1234567","42","2024-11-22 18:56:50","customer-00012345","1234.56","some ""words"", abc""#;
pub const JSON: &str = r#"{"id":1234567,"at":"2024-11-22T18:56:50.123456Z","customer":"customer-00012345","amount":1234.56,"note":"some words about the order, and \"some\" more","count":42,"ok":true,"tag":"abcdefgh"}"#;

/// The same as [`CSV`], with a schema's types.
pub const AVRO_SCHEMA: &str = r#"{"type":"record","name":"order","fields":[
    {"name":"id","type":"long"},
    {"name":"count","type":"int"},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"customer","type":"string"},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
    {"name":"note","type":["null","string"]}]}"#;

/// A message of [`AVRO_SCHEMA`] as schema 7 of a registry.
pub fn avro() -> Vec<u8> {
    let datum = [
        // 1234567, 42, and 2024-11-22T18:56:50.123456Z
        &b"\x8e\xda\x96\x01\x54\x80\x8b\xca\xa0\x9e\xe1\x93\x06"[..],
        b"\x22customer-00012345",
        // 1234.56
        b"\x06\x01\xe2\x40",
        b"\x02\x3esome words about the order abcd",
    ]
    .concat();
    [&[0, 0, 0, 0, 7][..], &datum].concat()
}
