//! What reads bytes of strangers, each behind a function that takes any: for the fuzzer (`all.rs`), and for the tests,
//! which change the seeds at random (`integration/mutations.rs`). Whatever comes, nothing panics, a record that is refused
//! leaves no row, and one that is taken needs no more room than was said before.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use gpkafka::cli::init::drafted;
use gpkafka::config::{self, Variables};
use gpkafka::decode::{
    AvroFraming, AvroOptions, Charset, Column, ColumnKind, Content, CsvOptions, Decoder, DelimitedOptions, Format,
    META_FIELDS, Meta, MetaField, Part, ProtobufOptions, ProtobufSource, Settings, check_avro, check_protobuf, decoder,
};
use gpkafka::gpfdist::check_request;
use gpkafka::greenplum::passfile::{self, Wanted};
use gpkafka::greenplum::{Account, LedgerRow, Place, Seen};
use gpkafka::job::proof::table::{Terms, judge, stretches};
use gpkafka::job::proof::{Findings, Proof, topic};
use gpkafka::kafka::Watermarks;
use gpkafka::record::{Record, TimestampType};
use gpkafka::registry::check_answer;
use gpkafka::row::Rows;
use gpkafka::schema::{Reference, Schema, SchemaKind};
use gpkafka::transform::{self, Program};

/// Takes any bytes, and panics where something is wrong.
pub type Target = fn(&[u8]);

/// All of them, by the names that their folders of seeds have.
pub const TARGETS: [(&str, Target); 21] = [
    ("answer", answer),
    ("avro", avro),
    ("avro_schema", avro_schema),
    ("composed", composed),
    ("convert", convert),
    ("csv", csv),
    ("delimited", delimited),
    ("descriptor_set", descriptor_set),
    ("encoding", encoding),
    ("job_file", job_file),
    ("json", json),
    ("jsonl", jsonl),
    ("ledger", ledger),
    ("module", module),
    ("pgpass", pgpass),
    ("proto", proto),
    ("protobuf", protobuf),
    ("references", references),
    ("request", request),
    ("sample", sample),
    ("shadow", shadow),
];

/// A job file: understood and then explained, or refused and then drawn.
fn job_file(data: &[u8]) {
    let variables = Variables::from([("topic".to_owned(), "orders".to_owned())]);
    match config::parse(Path::new("job.yaml"), data.to_vec(), &variables) {
        Ok(job) => {
            drop((job.greenplum_settings(), job.registry_settings(), job.kafka_settings(1 << 20, 2)));
        }
        Err(refusal) => drop(config::render(&refusal, true, true)),
    }
}

/// What comes out of a rewriting is read again by the rewriter itself.
fn convert(data: &[u8]) {
    let variables = Variables::from([("topic".to_owned(), "orders".to_owned())]);
    if let Err(refusal) = config::convert_bytes(Path::new("job.yaml"), data.to_vec(), &variables) {
        drop(config::render(&refusal, false, false));
    }
}

fn shadow(data: &[u8]) {
    let text = String::from_utf8_lossy(data).replace('\'', "''");
    let file = format!(
        "DATABASE: d\nUSER: u\nHOST: h\nPORT: 1\nPASSWORD: '{text}'\nKAFKA: {{INPUT: {{SOURCE: {{BROKERS: b, TOPIC: t}}, \
         COLUMNS: [{{NAME: a, TYPE: int}}], FORMAT: csv}}, OUTPUT: {{TABLE: t}}}}\n"
    );
    job_file(file.as_bytes());
}

/// Messages parted by NULs: what job file `gpkafka init` makes of them, another command reads.
fn sample(data: &[u8]) {
    let values: Vec<_> = data.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    if let Some(text) = drafted(&values) {
        let job = config::parse(Path::new("job.yaml"), text.clone().into_bytes(), &Variables::new());
        job.unwrap_or_else(|refusal| panic!("{}", config::render(&refusal, false, false)));
    }
}

fn pgpass(data: &[u8]) {
    let wanted = Wanted { host: "mdw", port: 5432, database: "test", user: "gpadmin" };
    if let Some(password) = passfile::password(&String::from_utf8_lossy(data), &wanted) {
        // it can only get shorter on the way, but for bytes that were no characters
        assert!(password.len() <= data.len() * 3);
    }
}

fn answer(data: &[u8]) {
    drop(check_answer(data));
}

/// Columns of every kind: by name, by path, one that is read past.
fn columns() -> Vec<Column> {
    let at = |path: &[&str], kind| Column {
        path: path.iter().map(|&name| name.to_owned()).collect(),
        kind,
        ..Column::text(path.join("."))
    };
    vec![
        at(&["id"], ColumnKind::Scalar),
        at(&["doc"], ColumnKind::Json),
        at(&["raw"], ColumnKind::Bytes),
        at(&["tags"], ColumnKind::Array),
        at(&["doc", "0", "a"], ColumnKind::Scalar),
        Column { is_ignored: true, ..Column::text("c") },
    ]
}

/// One value through a decoder.
fn decode(decoder: &mut dyn Decoder, payload: &[u8]) {
    decode_record(decoder, &Record::new(0, 0, Some(payload)));
}

/// One record through a decoder.
fn decode_record(decoder: &mut dyn Decoder, record: &Record<'_>) {
    std::hint::black_box(decoder.scratch(record));
    let room = decoder.room(record);
    let mut rows = Rows::default();
    match decoder.decode(record, &mut rows) {
        Err(reason) => {
            assert!(rows.is_empty() && rows.open_fields() == 0 && rows.open_field().is_empty(), "{reason}");
        }
        Ok(()) => {
            let fields = rows.iter().map(Iterator::count).sum::<usize>();
            let bytes: usize = rows.iter().flatten().flatten().map(<[u8]>::len).sum();
            let needed = (rows.len(), fields, bytes);
            assert!(rows.len() <= room.rows && fields <= room.fields && bytes <= room.bytes, "{needed:?} in {room:?}");
        }
    }
}

/// The first byte chooses among the settings, the rest is the payload.
fn by_first(data: &[u8], settings: impl FnOnce(u8) -> Settings) {
    if let Some((&first, payload)) = data.split_first() {
        decode(&mut *decoder(&settings(first)), payload);
    }
}

fn csv(data: &[u8]) {
    by_first(data, |first| {
        let options = CsvOptions {
            delimiter: if first & 1 == 0 { b',' } else { b'\t' },
            escape: if first & 2 == 0 { b'"' } else { b'\\' },
            null_string: if first & 4 == 0 { "" } else { "\\N" }.to_owned(),
            force_not_null: if first & 8 == 0 { Vec::new() } else { vec!["id".to_owned()] },
            fill_missing_fields: first & 16 == 0,
            ..CsvOptions::default()
        };
        let columns = columns().into_iter().take(usize::from(first >> 5) + 1).collect();
        let charset = if first & 64 == 0 { None } else { Charset::named("SJIS") };
        Settings { charset, ..Settings::of_value(Format::Csv(options), columns) }
    });
}

fn delimited(data: &[u8]) {
    by_first(data, |first| {
        let pick = |bit: u8, yes: &str, no: &str| if first & bit == 0 { no } else { yes }.as_bytes().to_vec();
        let options = DelimitedOptions {
            delimiter: pick(1, "||", ","),
            eol_prefix: pick(2, "@@", ""),
            quote: (first & 12 == 12).then_some(b'"'),
            escape: (first & 8 != 0).then_some(if first & 16 == 0 { b'\\' } else { b'"' }),
        };
        let columns = columns().into_iter().take(usize::from(first >> 6) + 1).collect();
        Settings::of_value(Format::Delimited(options), columns)
    });
}

fn json(data: &[u8]) {
    by_first(data, |first| {
        let columns = if first & 1 == 0 { vec![Column::document("doc")] } else { columns() };
        let content = || Content { format: Format::Json, columns: columns.clone() };
        let charset = if first & 4 == 0 { None } else { Charset::named("LATIN1") };
        Settings { value: Some(content()), charset, ..Settings::default() }
    });
}

fn jsonl(data: &[u8]) {
    by_first(data, |first| {
        let newline = if first & 2 == 0 { "\n" } else { "\r\n" }.to_owned();
        let columns = if first & 1 == 0 { vec![Column::document("doc")] } else { columns() };
        Settings::of_value(Format::Jsonl { newline }, columns)
    });
}

/// Any charset, which the first byte chooses, under a format that is text, which the second one does.
fn encoding(data: &[u8]) {
    let [charset, format, payload @ ..] = data else { return };
    let names: Vec<_> = Charset::names().collect();
    let format = match format % 4 {
        0 => Format::Csv(CsvOptions::default()),
        1 => Format::Delimited(DelimitedOptions::of_byte(b'|')),
        2 => Format::Json,
        _ => Format::Jsonl { newline: "\n".to_owned() },
    };
    let charset = Charset::named(names[usize::from(*charset) % names.len()]);
    decode(&mut *decoder(&Settings { charset, ..Settings::of_value(format, columns()) }), payload);
}

/// Every format but those with schemas.
fn format_of(choice: u8) -> Format {
    match choice % 6 {
        0 => Format::Csv(CsvOptions { fill_missing_fields: true, ..CsvOptions::default() }),
        1 => Format::Delimited(DelimitedOptions::of_byte(b',')),
        2 => Format::Json,
        3 => Format::Jsonl { newline: "\n".to_owned() },
        4 => Format::Binary,
        _ => Format::Custom,
    }
}

/// All of a record: the first byte chooses the formats, the second one what there is of it; then value, key, and a
/// header's name and value, parted by NULs. What is not there is NULL.
fn composed(data: &[u8]) {
    let [formats, meta, rest @ ..] = data else { return };
    let content = |choice: u8, columns: Vec<Column>| Content { format: format_of(choice), columns };
    let mut fields: Vec<_> = META_FIELDS.map(|(_, field)| field).into();
    fields.extend([MetaField::Document, MetaField::Row]);
    let settings = Settings {
        value: (meta & 1 == 0).then(|| content(formats % 16, columns())),
        key: (meta & 2 == 0).then(|| content(formats / 16, vec![Column::text("k"), Column::text("l")])),
        meta: fields.into_iter().map(|field| Meta { field, is_number: meta & 4 == 0 }).collect(),
        topic: "orders".to_owned(),
        charset: if meta & 8 == 0 { None } else { Charset::named("LATIN1") },
    };
    let mut parts = rest.split(|&byte| byte == 0);
    let (payload, key) = (parts.next(), parts.next());
    let name = parts.next().map(String::from_utf8_lossy);
    let header = |name: &Cow<'_, str>| (name.clone().into_owned(), parts.next().map(<[u8]>::to_vec));
    let headers: Vec<_> = name.iter().map(header).collect();
    let record = Record {
        key,
        headers: &headers,
        timestamp_ms: (meta & 16 != 0).then_some(i64::from(*formats) << (meta >> 2)),
        timestamp_type: Some(TimestampType::LogAppend),
        ..Record::new(0, 0, payload.filter(|_| meta & 32 == 0))
    };
    decode_record(&mut *decoder(&settings), &record);
}

/// Something of everything that Avro has.
const RECORD: &str = r#"{"type": "record", "name": "r", "fields": [
    {"name": "id", "type": ["null", "long", "int", "boolean"]},
    {"name": "doc", "type": {"type": "array", "items": ["null", "r", {"type": "map", "values": "double"}]}},
    {"name": "raw", "type": "bytes"},
    {"name": "tags", "type": {"type": "array", "items": ["string", "null", "float"]}},
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 4}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "clock", "type": {"type": "int", "logicalType": "time-millis"}},
    {"name": "took", "type": {"type": "fixed", "name": "d", "size": 12, "logicalType": "duration"}},
    {"name": "kind", "type": {"type": "enum", "name": "e", "symbols": ["A", "B"]}}]}"#;

/// Empty items cost no bytes: the way to ask for much with little.
const NOTHING: &str = r#"{"type": "array", "items": "null"}"#;

const SCHEMAS: [&str; 4] =
    [RECORD, NOTHING, "\"string\"", r#"{"type": "map", "values": {"type": "array", "items": "bytes"}}"#];

fn avro_options(framing: AvroFraming, bytes_to_base64: bool) -> Format {
    Format::Avro(AvroOptions { framing, bytes_to_base64 })
}

/// A record of a schema with an id, which the second byte chooses; some ids have none.
fn avro(data: &[u8]) {
    by_first_learned(data, |first| {
        let columns = if first & 1 == 0 { vec![Column::document("doc")] } else { columns() };
        let settings = Settings::of_value(avro_options(AvroFraming::Confluent, first & 2 == 0), columns);
        let mut decoder = decoder(&settings);
        for (id, text) in (0..).zip(SCHEMAS) {
            decoder.learn(Part::Value, id, Ok(&Schema::alone(SchemaKind::Avro, text)));
        }
        decoder.learn(Part::Value, 4, Err("gone"));
        decoder
    });
}

/// A schema's text, a NUL, and a datum of it.
fn avro_schema(data: &[u8]) {
    let at = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    let schema = Schema::alone(SchemaKind::Avro, String::from_utf8_lossy(&data[..at]));
    if check_avro(&schema).is_ok() {
        for columns in [vec![Column::document("doc")], columns()] {
            let settings = Settings::of_value(avro_options(AvroFraming::Fixed(schema.clone()), true), columns);
            decode(&mut *decoder(&settings), data.get(at + 1..).unwrap_or_default());
        }
    }
}

const PROTO: &str = r#"syntax = "proto3"; package p;
    import "google/protobuf/struct.proto"; import "google/protobuf/timestamp.proto";
    import "google/protobuf/duration.proto"; import "google/protobuf/any.proto";
    import "google/protobuf/wrappers.proto";
    message Other { int32 a = 1; }
    message R {
        optional int64 id = 1; repeated R doc = 2; bytes raw = 3; repeated string tags = 4; double a = 5;
        enum E { X = 0; Y = 1; } E e = 6; map<string, R> m = 7; google.protobuf.Struct s = 8;
        google.protobuf.Timestamp t = 9; google.protobuf.Duration d = 10; google.protobuf.Any any = 11;
        google.protobuf.BytesValue w = 12; oneof o { sint64 x = 13; fixed32 y = 14; } repeated float f = 15;
    }"#;

fn protobuf(data: &[u8]) {
    by_first_learned(data, |first| {
        let columns = if first & 1 == 0 { vec![Column::document("doc")] } else { columns() };
        let format = Format::Protobuf(ProtobufOptions { source: ProtobufSource::Confluent });
        let mut decoder = decoder(&Settings::of_value(format, columns));
        decoder.learn(Part::Value, 0, Ok(&Schema::alone(SchemaKind::Protobuf, PROTO)));
        decoder
    });
}

/// A `.proto` text, a NUL, and a message of its first type.
fn proto(data: &[u8]) {
    let at = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    let schema = Schema::alone(SchemaKind::Protobuf, String::from_utf8_lossy(&data[..at]));
    let format = Format::Protobuf(ProtobufOptions { source: ProtobufSource::Confluent });
    let mut decoder = decoder(&Settings::of_value(format, columns()));
    decoder.learn(Part::Value, 0, Ok(&schema));
    let message = data.get(at + 1..).unwrap_or_default();
    decode(&mut *decoder, &[&[0; 6], message].concat());
}

/// What is a set is also decoded as if it were a message of it.
fn descriptor_set(data: &[u8]) {
    if check_protobuf(data, "p.R").is_ok() {
        let source = ProtobufSource::Fixed { descriptor_set: data.to_vec(), message: "p.R".to_owned() };
        for columns in [vec![Column::document("doc")], columns()] {
            let format = Format::Protobuf(ProtobufOptions { source: source.clone() });
            decode(&mut *decoder(&Settings::of_value(format, columns)), data);
        }
    }
}

/// A schema with what it refers to. The first byte chooses the language; then the schema, names and texts of what it
/// needs, parted by NULs.
fn references(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let mut parts = rest.split(|&byte| byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
    let text = parts.next().unwrap_or_default();
    let mut references = Vec::new();
    while let (Some(name), Some(text)) = (parts.next(), parts.next()) {
        references.push(Reference { name, text });
    }
    let (kind, format) = if first & 1 == 0 {
        (SchemaKind::Avro, avro_options(AvroFraming::Confluent, true))
    } else {
        (SchemaKind::Protobuf, Format::Protobuf(ProtobufOptions { source: ProtobufSource::Confluent }))
    };
    let mut decoder = decoder(&Settings::of_value(format, columns()));
    decoder.learn(Part::Value, 0, Ok(&Schema { kind, text, references }));
    decode(&mut *decoder, &[0; 24]);
}

/// A transformer's module, or its text, started and called.
fn module(data: &[u8]) {
    const MEMORY_BYTES_MAX: usize = 1 << 20;
    let settings = transform::Settings {
        on_init: data.last().filter(|&&last| last == b' ').map(|_| "init".to_owned()),
        memory_bytes_max: MEMORY_BYTES_MAX,
        fuel: 100_000,
        ..transform::Settings::new("t.wat", "upper")
    };
    let Ok(mut transform) = Program::new(data, settings).and_then(|program| program.start()) else { return };
    for payload in [&b"# no"[..], b"", b"abc\xff"] {
        let record = Record { key: Some(b"the key"), ..Record::new(0, 0, Some(payload)) };
        if let Ok(transform::Verdict::Changed(output)) = transform.apply(&record) {
            assert!(output.len() <= MEMORY_BYTES_MAX);
            transform.give_back(output);
        }
    }
}

/// A request's head as lines, `name: value`: what a segment says, or who takes its place.
fn request(data: &[u8]) {
    let headers = data.split(|&byte| byte == b'\n').map(|line| {
        let at = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        (String::from_utf8_lossy(&line[..at]).into_owned(), line.get(at + 1..).unwrap_or_default())
    });
    let headers: Vec<_> = headers.collect();
    if let Err(reason) = check_request(headers.iter().map(|(name, value)| (name.as_str(), *value))) {
        assert!(!reason.is_empty() && reason.len() <= 1000 && !reason.contains(char::is_control), "{reason:?}");
    }
}

type Make = fn(u8) -> Box<dyn Decoder>;

/// Who made it, of which first byte.
type Kept = (Make, u8, Box<dyn Decoder>);

/// As [`by_first`], for decoders that are dear to make: each is kept. The second byte is the id of a schema.
fn by_first_learned(data: &[u8], make: Make) {
    thread_local! {
        static KEPT: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
    }
    let [first, id, payload @ ..] = data else { return };
    let first = first & 3;
    KEPT.with_borrow_mut(|kept| {
        let found = kept.iter().position(|(by, of, _)| std::ptr::fn_addr_eq(*by, make) && *of == first);
        let at = found.unwrap_or_else(|| {
            kept.push((make, first, make(first)));
            kept.len() - 1
        });
        decode(&mut *kept[at].2, &[&[0, 0, 0, 0, *id], payload].concat());
    });
}

/// Rows of a ledger that anybody may have changed, a line each: partition, kind, seq, first, next, then its accounts. What
/// is said to be a chain that adds up is one.
fn ledger(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut rows: Vec<LedgerRow> = text.lines().map(ledger_row).collect();
    // as the database hands them out
    rows.sort_by_key(|row| (row.partition, row.seq));
    let (mut proof, mut findings) = (Proof::default(), Findings::default());
    rows.iter().for_each(|row| proof.take(row));
    let parts = proof.end(&mut findings);
    if findings.count() == 0 {
        assert!(rows.chunk_by(|one, next| one.partition == next.partition).all(is_a_chain), "{rows:#?}");
    }
    let marks = parts.iter().map(|(&partition, part)| (partition, Watermarks { low: part.first, high: part.next }));
    topic::check(&parts, Some("id"), &marks.collect(), &|_| true, &mut findings);
    judge(&terms(), &parts, &seen(&parts), &mut findings);
    let Findings { proved, wrong, unproved, .. } = findings;
    let is_a_line = |line: &String| !line.contains(char::is_control);
    assert!(proved.iter().chain(&wrong).chain(&unproved).all(is_a_line), "a line steers the terminal");
}

fn ledger_row(line: &str) -> LedgerRow {
    let mut words = line.split(' ');
    let partition = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
    let kind = words.next().unwrap_or_default().to_owned();
    let topic_id = words.next().map(str::to_owned);
    let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
    let [seq, first, next, batch] = std::array::from_fn(|_| number());
    let [records, holes, decoded, refused, dropped, sent, inserted, rejected, filtered] =
        std::array::from_fn(|_| number());
    let rows = (sent >= 0).then_some(sent);
    let account = Account { records, holes, decoded, refused, dropped, rows, inserted, rejected, filtered };
    let account = Some(account).filter(|_| records != -1);
    LedgerRow { partition, seq, kind, first, next, topic_id, batch, instance: "x".to_owned(), inserted, account }
}

/// The rules of a chain, told once more and by other means: with numbers that do not overflow.
fn is_a_chain(rows: &[LedgerRow]) -> bool {
    let wide = |number: i64| i128::from(number);
    let joins = rows.windows(2).all(|two| two[1].seq == two[0].seq + 1 && two[1].first == two[0].next);
    let adds_up = |row: &LedgerRow| {
        let Some(account) = row.account else { return true };
        let span = if row.kind == "load" { wide(row.next) - wide(row.first) } else { 0 };
        let sums = [
            span == wide(account.records) + wide(account.holes),
            wide(account.records) == wide(account.decoded) + wide(account.refused) + wide(account.dropped),
            account.rows.is_none_or(|rows| {
                wide(rows) == wide(account.inserted) + wide(account.rejected) + wide(account.filtered)
            }),
        ];
        sums == [true; 3]
    };
    joins && rows.iter().all(adds_up) && rows.iter().all(|row| ["load", "skip", "reset"].contains(&row.kind.as_str()))
}

fn terms() -> Terms {
    let name = |name: &str| gpkafka::table::Ident::exact(name);
    let target = gpkafka::table::TableName { schema: name("s"), table: name("t") };
    let place = Place { target, partition: name("p"), offset: name("o"), topic: None };
    Terms { place, may_lack: true, may_be_empty: false, may_follow: true }
}

/// As many rows in each stretch as it has offsets, and one behind all.
fn seen(parts: &BTreeMap<i32, gpkafka::job::proof::Part>) -> Vec<Seen> {
    let of = |stretch: &gpkafka::greenplum::Stretch| Seen {
        partition: Some(stretch.partition.into()),
        at: Some(stretch.at),
        rows: if stretch.at < 0 { 1 } else { stretch.next - stretch.first },
        offsets: 1,
        lowest: Some(stretch.first),
        highest: Some(stretch.next),
        ..Seen::default()
    };
    stretches(parts).iter().map(of).collect()
}
