//! Messages in another charset than UTF-8 (ENCODING), made into it before their format is read. Charsets have
//! PostgreSQL's names, as the original has them; what a byte means is the library's to know.

use std::cell::RefCell;

use encoding_rs::{DecoderResult, Encoding};

use super::{Cause, Parse};
use crate::row::{Room, Rows};
use crate::schema::Schema;

/// A charset that messages can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charset {
    /// PostgreSQL's name.
    pub name: &'static str,
    encoding: &'static Encoding,
    /// Bytes 0x80 to 0x9f are control characters, where the library has Microsoft's variant.
    has_controls: bool,
}

/// PostgreSQL's names, without what is no letter or digit, and the library's charset.
const CHARSETS: [(&str, &[&str], &Encoding); 36] = [
    ("BIG5", &["WIN950", "WINDOWS950"], encoding_rs::BIG5),
    ("EUC_CN", &[], encoding_rs::GBK),
    ("EUC_JP", &[], encoding_rs::EUC_JP),
    ("EUC_KR", &[], encoding_rs::EUC_KR),
    ("GB18030", &[], encoding_rs::GB18030),
    ("GBK", &["WIN936", "WINDOWS936"], encoding_rs::GBK),
    ("ISO_8859_5", &[], encoding_rs::ISO_8859_5),
    ("ISO_8859_6", &[], encoding_rs::ISO_8859_6),
    ("ISO_8859_7", &[], encoding_rs::ISO_8859_7),
    ("ISO_8859_8", &[], encoding_rs::ISO_8859_8),
    ("KOI8R", &["KOI8"], encoding_rs::KOI8_R),
    ("KOI8U", &[], encoding_rs::KOI8_U),
    ("LATIN1", &["ISO88591"], encoding_rs::WINDOWS_1252),
    ("LATIN2", &["ISO88592"], encoding_rs::ISO_8859_2),
    ("LATIN3", &["ISO88593"], encoding_rs::ISO_8859_3),
    ("LATIN4", &["ISO88594"], encoding_rs::ISO_8859_4),
    ("LATIN5", &["ISO88599"], encoding_rs::WINDOWS_1254),
    ("LATIN6", &["ISO885910"], encoding_rs::ISO_8859_10),
    ("LATIN7", &["ISO885913"], encoding_rs::ISO_8859_13),
    ("LATIN8", &["ISO885914"], encoding_rs::ISO_8859_14),
    ("LATIN9", &["ISO885915"], encoding_rs::ISO_8859_15),
    ("LATIN10", &["ISO885916"], encoding_rs::ISO_8859_16),
    ("SJIS", &["SHIFTJIS", "MSKANJI", "WIN932", "WINDOWS932"], encoding_rs::SHIFT_JIS),
    ("UHC", &["WIN949", "WINDOWS949"], encoding_rs::EUC_KR),
    ("UTF8", &["UNICODE"], encoding_rs::UTF_8),
    ("WIN866", &["ALT", "WINDOWS866"], encoding_rs::IBM866),
    ("WIN874", &["WINDOWS874"], encoding_rs::WINDOWS_874),
    ("WIN1250", &["WINDOWS1250"], encoding_rs::WINDOWS_1250),
    ("WIN1251", &["WIN", "WINDOWS1251"], encoding_rs::WINDOWS_1251),
    ("WIN1252", &["WINDOWS1252"], encoding_rs::WINDOWS_1252),
    ("WIN1253", &["WINDOWS1253"], encoding_rs::WINDOWS_1253),
    ("WIN1254", &["WINDOWS1254"], encoding_rs::WINDOWS_1254),
    ("WIN1255", &["WINDOWS1255"], encoding_rs::WINDOWS_1255),
    ("WIN1256", &["WINDOWS1256"], encoding_rs::WINDOWS_1256),
    ("WIN1257", &["WINDOWS1257"], encoding_rs::WINDOWS_1257),
    ("WIN1258", &["ABC", "TCVN", "TCVN5712", "VSCII", "WINDOWS1258"], encoding_rs::WINDOWS_1258),
];

/// Of those above, the ones that the library only has as Microsoft's larger variant.
const WITH_CONTROLS: [&str; 2] = ["LATIN1", "LATIN5"];

impl Charset {
    /// By a name that PostgreSQL knows, in any case and with or without its dashes.
    pub fn named(written: &str) -> Option<Self> {
        let plain = |name: &str| -> String {
            name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
        };
        let wanted = plain(written);
        let is_named = |name: &str, others: &[&str]| plain(name) == wanted || others.contains(&wanted.as_str());
        let (name, _, encoding) = CHARSETS.iter().find(|(name, others, _)| is_named(name, others))?;
        Some(Self { name, encoding, has_controls: WITH_CONTROLS.contains(name) })
    }

    /// All names, for who gave another one.
    pub fn names() -> impl Iterator<Item = &'static str> {
        CHARSETS.iter().map(|(name, ..)| *name)
    }

    /// Whether messages in it need no change.
    pub fn is_utf8(&self) -> bool {
        self.encoding == encoding_rs::UTF_8
    }

    /// Writes the text over what `into` held.
    ///
    /// # Errors
    /// The byte, from 1, where something stands that is no character.
    fn decode(&self, bytes: &[u8], into: &mut String) -> Result<(), usize> {
        into.clear();
        if !self.has_controls {
            return self.decode_run(bytes, into);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let plain = rest.iter().position(|byte| (0x80..0xa0).contains(byte)).unwrap_or(rest.len());
            let at = bytes.len() - rest.len();
            self.decode_run(&rest[..plain], into).map_err(|place| at + place)?;
            rest = &rest[plain..];
            if let [control, after @ ..] = rest {
                into.push(char::from(*control));
                rest = after;
            }
        }
        Ok(())
    }

    fn decode_run(&self, bytes: &[u8], into: &mut String) -> Result<(), usize> {
        let mut decoder = self.encoding.new_decoder_without_bom_handling();
        let most = decoder.max_utf8_buffer_length_without_replacement(bytes.len());
        into.reserve(most.unwrap_or(bytes.len().saturating_mul(3)));
        match decoder.decode_to_string_without_replacement(bytes, into, true) {
            (DecoderResult::InputEmpty, _) => Ok(()),
            (DecoderResult::Malformed(bad, after), read) => Err((read + 1).saturating_sub(usize::from(bad + after))),
            // room was made for all of it
            (DecoderResult::OutputFull, read) => Err(read + 1),
        }
    }
}

/// A buffer that one huge message has stretched is given back.
const KEPT_BYTES: usize = 1 << 20;

/// A format behind its charset.
pub(super) struct Transcoded {
    inner: Box<dyn Parse>,
    charset: Charset,
    /// The text of the latest payload. Asking for room needs it, too.
    text: RefCell<String>,
}

impl Transcoded {
    pub(super) fn new(inner: Box<dyn Parse>, charset: Charset) -> Self {
        Self { inner, charset, text: RefCell::default() }
    }
}

impl Parse for Transcoded {
    fn format(&self) -> &'static str {
        self.inner.format()
    }

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        let text = self.text.get_mut();
        self.charset.decode(payload, text).map_err(|place| Cause::Payload {
            text: format!("byte {place} begins no character of {}", self.charset.name),
        })?;
        let parsed = self.inner.parse(text.as_bytes(), rows);
        if text.capacity() > KEPT_BYTES {
            *text = String::new();
        }
        parsed
    }

    fn room(&self, payload: &[u8]) -> Room {
        let mut text = self.text.borrow_mut();
        match self.charset.decode(payload, &mut text) {
            Ok(()) => self.inner.room(text.as_bytes()),
            Err(_) => Room { bytes: 0, fields: 0, rows: 1 },
        }
    }

    fn learn(&mut self, id: u32, schema: Result<&Schema, &str>) {
        self.inner.learn(id, schema);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{decoded, settings};
    use super::super::{CsvOptions, DelimitedOptions, Format, Settings, decoder};
    use super::*;
    use crate::record::Record;

    fn text(charset: &str, bytes: &[u8]) -> Result<String, usize> {
        let mut text = String::new();
        Charset::named(charset).unwrap().decode(bytes, &mut text).map(|()| text)
    }

    #[test]
    fn charsets_have_the_names_of_the_database() {
        for (written, name) in [
            ("LATIN1", "LATIN1"),
            ("latin-1", "LATIN1"),
            ("ISO_8859-1", "LATIN1"),
            ("win1252", "WIN1252"),
            ("Windows-1251", "WIN1251"),
            ("koi8-r", "KOI8R"),
            ("euc_kr", "EUC_KR"),
            ("utf-8", "UTF8"),
            ("unicode", "UTF8"),
            ("Shift_JIS", "SJIS"),
        ] {
            assert_eq!(Charset::named(written).map(|charset| charset.name), Some(name), "{written}");
        }
        for unknown in ["", "LATIN11", "EUC_TW", "MULE_INTERNAL", "SQL_ASCII", "JOHAB"] {
            assert_eq!(Charset::named(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn bytes_are_characters_of_their_charset() {
        for (charset, bytes, expected) in [
            ("LATIN1", &b"caf\xe9 \x80\x9f\xff"[..], "café \u{80}\u{9f}ÿ"),
            ("LATIN5", b"\xdd\x85\xfe", "İ\u{85}ş"),
            ("WIN1252", b"\x80 10", "€ 10"),
            ("WIN1251", b"\xcf\xf0\xe8", "При"),
            ("KOI8R", b"\xf0\xd2\xc9", "При"),
            ("LATIN9", b"\xa4", "€"),
            ("SJIS", b"\x83\x5c", "ソ"),
            ("EUC_JP", b"\xa5\xbd", "ソ"),
            ("EUC_KR", b"\xc7\xd1", "한"),
            ("GBK", b"\xd6\xd0\xce\xc4", "中文"),
            ("GB18030", b"\x81\x30\x81\x30", "\u{80}"),
            ("BIG5", b"\xa4\xa4", "中"),
        ] {
            assert_eq!(text(charset, bytes).as_deref(), Ok(expected), "{charset}");
        }
    }

    #[test]
    fn what_is_no_character_is_refused_with_its_place() {
        assert_eq!(text("SJIS", b"ab\x83"), Err(3));
        assert_eq!(text("EUC_KR", b"a\xc7\x20b"), Err(2));
        assert_eq!(text("UTF8", b"abc\xffd"), Err(4));
        assert_eq!(text("GBK", b"\xff"), Err(1));
    }

    fn in_charset(charset: &str, format: Format, columns: &str) -> Settings {
        Settings { charset: Charset::named(charset), ..settings(format, columns) }
    }

    #[test]
    fn formats_read_the_text_and_not_its_bytes() {
        let csv = || Format::Csv(CsvOptions::default());
        let shown = |charset, format, bytes| decoded(&in_charset(charset, format, "a b"), Some(bytes));
        assert_eq!(shown("LATIN1", csv(), b"\xe9,\xfc"), r"\xc3\xa9|\xc3\xbc");
        // the second byte of this character is a bar
        assert_eq!(shown("SJIS", Format::Delimited(DelimitedOptions::of_byte(b'|')), b"\x83\x7c|x"), r"\xe3\x83\x9d|x");
        assert_eq!(shown("SJIS", csv(), b"a,\x83"), "csv  byte 3 begins no character of SJIS");
        let one = decoded(&in_charset("WIN1251", Format::Json, "a"), Some(b"{\"a\":\"\xcf\"}"));
        assert_eq!(one, r"\xd0\x9f");
        // bytes are bytes
        assert_eq!(
            decoded(&in_charset("LATIN1", Format::Binary, "a"), Some(b"\xe9")),
            decoded(&settings(Format::Binary, "a"), Some(b"\xe9"))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_within_their_room(
            at in 0..CHARSETS.len(),
            payload in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let charset = CHARSETS[at].0;
            let settings = in_charset(charset, Format::Csv(CsvOptions::default()), "a b c");
            let record = Record::new(0, 0, Some(&payload));
            let mut decoder = decoder(&settings);
            let mut rows = Rows::default();
            rows.reserve(decoder.room(&record));
            let held = rows.held();
            drop(decoder.decode(&record, &mut rows));
            prop_assert_eq!(rows.held(), held);
            if let Err(place) = text(charset, &payload) {
                prop_assert!((1..=payload.len()).contains(&place));
            }
        }
    }
}
