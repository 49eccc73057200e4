//! Payloads of csv and delimited that are hard to part: each row arrives as it was meant, byte for byte, or its record is
//! refused by name. Many payloads a job, so that a load tells of all of them.

use crate::case::Case;
use crate::harness::{Database, Loader, on_each_database};

/// Rows of id and value, or what the log says of the record.
type Meant<'a> = Result<&'a [(i32, &'a [u8])], &'a str>;

/// Loads the payloads as records 0, 1, … of one partition into `(id int, val text)`.
fn check(db: &Database, format: &str, options: &str, records: &[(&[u8], Meant<'_>)]) {
    let case = Case::new(db, "hard", 1);
    case.table("vals (id int, val text)", "id");
    case.topic.produce(0, records.iter().map(|(payload, _)| payload));
    let job = case.job_into("vals", "id int, val text").format(format).value(options).input("ERROR_LIMIT: 20");
    let outcome = Loader::load(&job.text()).args(["--quit-at-eof"]).run().expect_code(0);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let rows = records.iter().flat_map(|(_, meant)| meant.unwrap_or_default());
    let mut rows: Vec<_> = rows.map(|(id, value)| format!("{id:03}|{}", hex(value))).collect();
    rows.sort();
    let sql = "SELECT lpad(id::text, 3, '0'), encode(convert_to(val, 'UTF8'), 'hex') FROM $SCHEMA.vals ORDER BY 1, 2";
    assert_eq!(case.rows(sql), rows, "{}", outcome.text());
    let refused: Vec<_> =
        outcome.text().lines().filter(|line| line.contains("]:-rejected ")).map(str::to_owned).collect();
    let words = records.iter().enumerate().filter_map(|(offset, (_, meant))| Some((offset, meant.err()?)));
    let words: Vec<_> = words.collect();
    for (offset, words) in &words {
        let name = format!("rejected {}[0]@{offset} ", case.topic.name);
        let line = refused.iter().find(|line| line.contains(&name));
        let line = line.unwrap_or_else(|| panic!("record {offset} is not named in {refused:#?}"));
        assert!(line.contains(words), "{line} does not say {words:?}");
    }
    assert_eq!(refused.len(), words.len(), "{refused:#?}");
}

const NUL: &str = "a NUL byte at byte";
const NOT_UTF8: &str = "invalid UTF-8 at byte";
const EXTRA: &str = "extra data after last expected column";
const MISSING: &str = "missing data for column \"val\"";
const UNTERMINATED: &str = "column \"val\": unterminated quoted field";

on_each_database! {
    fn csv(db) {
        let broken = "column \"val\": a line break outside quotes";
        check(db, "csv", "CSV_OPTION: {DELIMITER: ','}", &[
            (b"1,\"a,b\"", Ok(&[(1, b"a,b")])),
            (b"2,\"a\nb\"", Ok(&[(2, b"a\nb")])),
            (b"3,\"a\r\nb\rc\"\r\n", Ok(&[(3, b"a\r\nb\rc")])),
            (b"4,\\.", Ok(&[(4, b"\\.")])),
            (b"5,\"\\.\"", Ok(&[(5, b"\\.")])),
            (b"\\.", Err(MISSING)),
            (b"6,\"\n\\.\n\"", Ok(&[(6, b"\n\\.\n")])),
            (b"7,a\\", Ok(&[(7, b"a\\")])),
            (b"8,\\\n", Ok(&[(8, b"\\")])),
            (b"9,\"a\"\"b\"", Ok(&[(9, b"a\"b")])),
            (b"10,x\"a,\"y", Ok(&[(10, b"xa,y")])),
            (b"11,\"\"", Ok(&[(11, b"")])),
            (b"12,a\rb", Err(broken)),
            (b"13,a\n14,b", Err(broken)),
            (b"15,a\0b", Err(NUL)),
            (b"16,\"\0\"", Err(NUL)),
            (b"17,\xff", Err(NOT_UTF8)),
            (b"18,\xed\xa0\x80", Err(NOT_UTF8)),
            (b"19,\xc3", Err(NOT_UTF8)),
            (b"20,\"a", Err("unterminated CSV quoted field")),
            (b"21,a,", Err(EXTRA)),
            (b"22", Err(MISSING)),
            (b"23,\"\xf4\x8f\xbf\xbf\t\x01\x7f\"", Ok(&[(23, b"\xf4\x8f\xbf\xbf\t\x01\x7f")])),
            (b"24,\\N", Ok(&[(24, b"\\N")])),
        ]);
    }

    fn delimited_by_several_bytes(db) {
        check(db, "delimited", "DELIMITED_OPTION: {DELIMITER: '<>', EOL_PREFIX: '@@'}", &[
            (b"1<>a\nb\r@@\n2<>c", Ok(&[(1, b"a\nb\r"), (2, b"c")])),
            (b"3<><a>@@\n", Ok(&[(3, b"<a>")])),
            (b"4<>\\.", Ok(&[(4, b"\\.")])),
            (b"\\.", Err(MISSING)),
            (b"5<>a\\@@\n6<>\\\n", Ok(&[(5, b"a\\"), (6, b"\\\n")])),
            (b"7<>\"a@@\n8<>b\"", Ok(&[(7, b"\"a"), (8, b"b\"")])),
            (b"9<>", Ok(&[(9, b"")])),
            (b"10<>@@@\n11<>@@", Ok(&[(10, b"@"), (11, b"@@")])),
            (b"12<>a<>b", Err(EXTRA)),
            (b"13<>a@@\n14", Err(MISSING)),
            (b"15<>a\0", Err(NUL)),
            (b"16<>a@@\n17<>\xff", Err(NOT_UTF8)),
            (b"", Err(MISSING)),
            (b"18<>\\N\\x41\t", Ok(&[(18, b"\\N\\x41\t")])),
        ]);
    }

    fn delimited_with_an_escape(db) {
        check(db, "delimited", "DELIMITED_OPTION: {DELIMITER: '||', ESCAPE: '\\'}", &[
            (br"1||a\||b\\", Ok(&[(1, br"a||b\")])),
            (b"2||a\\\nb\n3||c\\\r\n\r\n", Ok(&[(2, b"a\nb"), (3, b"c\r\n")])),
            (br"4||a\", Ok(&[(4, br"a\")])),
            (br"5||\.", Ok(&[(5, br"\.")])),
            (br"\.", Err(MISSING)),
            (br"6||\N\x41\|", Ok(&[(6, br"\N\x41\|")])),
            (br"7||a\\||", Err(EXTRA)),
            (br"8\||a", Err(MISSING)),
            (b"9||\\\0", Err(NUL)),
            (b"10||\\\xff", Err(NOT_UTF8)),
            (b"11||a\rb\r\r\n", Ok(&[(11, b"a\rb\r")])),
        ]);
    }

    fn delimited_with_quotes(db) {
        check(db, "delimited", "DELIMITED_OPTION: {DELIMITER: '||', QUOTE: '\"', ESCAPE: '\\'}", &[
            (br#"1||"a||b""#, Ok(&[(1, b"a||b")])),
            (br#"2||a|""|b"#, Ok(&[(2, b"a||b")])),
            (b"\"3\"||\"a\nb\r\nc\r\"\n4||d\r\n", Ok(&[(3, b"a\nb\r\nc\r"), (4, b"d")])),
            (br#"5||x"\"\\\x"y"#, Ok(&[(5, br#"x"\\xy"#)])),
            (br#"6||\"\\\."#, Ok(&[(6, br#""\\."#)])),
            (br#"7||"\.""#, Ok(&[(7, br"\.")])),
            (b"8||\"\"\"", Err(UNTERMINATED)),
            (br#"9||"a\""#, Err(UNTERMINATED)),
            (br#"10||a\||b"#, Err(EXTRA)),
            (br"11||a\", Ok(&[(11, br"a\")])),
            (b"12||\"\0\"", Err(NUL)),
            (b"13||\"\xc3\"", Err(NOT_UTF8)),
            (b"14||\"\"", Ok(&[(14, b"")])),
            (b"15||\"a\\\\\"\n16||\"b", Err(UNTERMINATED)),
        ]);
    }

    fn delimited_with_quotes_that_escape_themselves(db) {
        check(db, "delimited", "DELIMITED_OPTION: {DELIMITER: '\\t', EOL_PREFIX: '|', QUOTE: '\"', ESCAPE: '\"'}", &[
            (b"1\t\"a\"\"b\"|\n2\t\"\"\"\"", Ok(&[(1, b"a\"b"), (2, b"\"")])),
            (b"3\t\"a|\nb\"\n|\n4\t\\\n|\n", Ok(&[(3, b"a|\nb\n"), (4, b"\\\n")])),
            (b"5\t\"a\tb\"", Ok(&[(5, b"a\tb")])),
            (b"6\t\"a\"\"", Err(UNTERMINATED)),
        ]);
    }
}
