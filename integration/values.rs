//! Values that are hard on the way: every byte, every mark of TEXT and CSV, characters of four bytes, and large ones.
//! What is in the table must be what was produced, by its MD5.

use md5::{Digest, Md5};

use crate::case::Case;
use crate::harness::on_each_database;

fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Texts with every character that means something to somebody on the way, at every end and in twos.
fn texts() -> Vec<String> {
    let marks = [
        '\\', '\t', '\r', '\n', '"', '\'', ',', '.', 'N', '\u{8}', '\u{b}', '\u{c}', '\u{1}', '\u{7f}', 'é', '€', '𝄞',
        ' ', 'x',
    ];
    let mut texts: Vec<String> =
        ["\\.", "\\N", "\\\\", "\\x41", "\\101", "NULL", "\\\n", "a\\", "\u{feff}a", "\u{10ffff}"]
            .map(str::to_owned)
            .into();
    texts.extend((1..128u8).map(|byte| char::from(byte).to_string()));
    for first in marks {
        texts.extend(marks.iter().map(|second| format!("{first}{second}")));
        texts.push(format!("{first}middle{first}"));
    }
    texts
}

on_each_database! {
    fn every_text_comes_through_csv_and_json(db) {
        let case = Case::new(db, "texts", 1);
        case.table("vals (id int, val text)", "id");
        let texts = texts();
        let csv = |(id, text): (usize, &String)| format!("{id},\"{}\"", text.replace('"', "\"\""));
        case.topic.produce(0, texts.iter().enumerate().map(csv));
        case.load(&case.job_into("vals", "id int, val text").text());
        let expected: Vec<String> = texts.iter().enumerate().map(|(id, text)| format!("{id}|{}", md5(text.as_bytes()))).collect();
        let sql = "SELECT id, md5(convert_to(val, 'UTF8')) FROM $SCHEMA.vals ORDER BY id";
        assert_eq!(case.rows(sql), expected);

        let json = Case::new(db, "texts", 1);
        json.table("vals (id int, val text)", "id");
        let document = |(id, text): (usize, &String)| {
            serde_json::json!({"id": id, "val": text}).to_string()
        };
        json.topic.produce(0, texts.iter().enumerate().map(document));
        let mapping = "MAPPING: {id: \"(j->>'id')::int\", val: \"j->>'val'\"}";
        json.load(&json.job_into("vals", "j json").format("json").output(mapping).text());
        assert_eq!(json.rows(sql), expected);
    }

    fn every_byte_and_large_values_come_through(db) {
        let case = Case::new(db, "bytes", 1);
        case.table("vals (val bytea, hash text)", "hash");
        let all: Vec<u8> = (0..=255).collect();
        let large = |size: usize| all.iter().copied().cycle().map(|byte| byte ^ 0x5a).take(size).collect::<Vec<_>>();
        let mut values: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte; 3]).collect();
        values.extend([Vec::new(), all.clone(), large(1 << 20), large(10 << 20)]);
        case.topic.produce(0, &values);
        let job = case.job_into("vals", "val bytea").format("binary").output("MAPPING: {val: val, hash: md5(val)}");
        case.load(&job.text());
        let mut expected: Vec<String> = values.iter().map(|value| md5(value)).collect();
        expected.sort();
        assert_eq!(case.rows("SELECT hash FROM $SCHEMA.vals ORDER BY hash"), expected);
    }

    fn a_large_text_comes_through(db) {
        let case = Case::new(db, "large", 1);
        case.table("vals (id int, val text)", "id");
        let texts: Vec<String> = [1 << 20, 10 << 20].iter().map(|&size| "täb\t\\".repeat(size / 7)).collect();
        case.topic.produce(0, texts.iter().enumerate().map(|(id, text)| format!("{id},{text}")));
        case.load(&case.job_into("vals", "id int, val text").text());
        let expected: Vec<String> = texts.iter().enumerate().map(|(id, text)| format!("{id}|{}", md5(text.as_bytes()))).collect();
        assert_eq!(case.rows("SELECT id, md5(convert_to(val, 'UTF8')) FROM $SCHEMA.vals ORDER BY id"), expected);
    }
}
