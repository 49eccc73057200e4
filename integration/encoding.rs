//! Messages in other charsets than UTF-8: their characters arrive, and what is none is refused with its place.

use crate::case::Case;
use crate::harness::{Loader, on_each_database};

on_each_database! {
    fn characters_arrive_whatever_their_bytes_were(db) {
        for (charset, format, option, message, expected) in [
            ("LATIN1", "csv", "", &b"1,caf\xe9 \xa4"[..], "café ¤"),
            ("win1252", "csv", "", b"1,10 \x80", "10 €"),
            // its second byte is the delimiter's
            ("SJIS", "delimited", "DELIMITED_OPTION: {DELIMITER: '|'}", b"1|\x83\x7c", "ポ"),
            ("EUC_KR", "csv", "", b"1,\xc7\xd1\xb1\xdb", "한글"),
            ("GBK", "csv", "", b"1,\xd6\xd0\xce\xc4", "中文"),
            ("KOI8R", "csv", "", b"1,\xf0\xd2\xc9", "При"),
            ("UTF8", "csv", "", "1,ä€".as_bytes(), "ä€"),
        ] {
            let case = Case::new(db, "charset", 1);
            case.table("rows (id int, note text)", "id");
            case.topic.produce(0, [message]);
            let job = case.job_into("rows", "id int, note text").format(format).input(&format!("ENCODING: {charset}"));
            let job = if option.is_empty() { job } else { job.value(option) };
            case.load(&job.text());
            assert_eq!(case.rows("SELECT note FROM $SCHEMA.rows"), [expected], "{charset}");
        }
    }

    fn what_is_no_character_is_refused_with_its_place(db) {
        let case = Case::new(db, "nochar", 1);
        case.table("rows (id int, note text)", "id");
        case.topic.produce(0, [&b"1,a"[..], b"2,\x83", b"3,c"]);
        let job = case.job_into("rows", "id int, note text").input("ENCODING: SJIS").input("ERROR_LIMIT: 2");
        let outcome = Loader::load(&job.text()).args(["--quit-at-eof"]).run().expect_code(0);
        outcome.expect_text("[0]@1").expect_text("byte 3 begins no character of SJIS").expect_text("-Inserted 2 rows");
        let job = case.job_into("rows", "id int").input("ENCODING: EBCDIC");
        Loader::load(&job.text()).run().expect_code(64).expect_text("must be a charset that can be read, not `EBCDIC`");
    }
}
