//! What no loader can be faster than: our server hands out rows that are encoded already, and the database loads them as
//! it loads ours.

use std::net::Ipv4Addr;
use std::sync::OnceLock;

use bytes::Bytes;
use gpkafka::block::BlockIndex;
use gpkafka::budget::Budget;
use gpkafka::decode::{self, Column, CsvOptions, Decoder, Format, decoder};
use gpkafka::encode::BlockBuilder;
use gpkafka::gpfdist::{self, Scan, Server};
use gpkafka::metrics::Metrics;
use gpkafka::offset::Generation;
use gpkafka::record::Record;
use gpkafka::row::Rows;

use crate::commands::{Cost, insert_from};
use crate::contenders::OUR_SETTINGS;
use crate::scene::{COLUMNS, CSV_FILE, Scene};

const PATH: &str = "/v1/bench/floor/token";
const BLOCK_BYTES: usize = 128 << 10;

pub fn load(scene: &Scene, table: &str) -> Cost {
    static BLOCKS: OnceLock<Vec<(BlockIndex, Bytes)>> = OnceLock::new();
    let blocks = BLOCKS.get_or_init(|| encoded(&std::fs::read(scene.dir.join(CSV_FILE)).unwrap()));
    let settings = gpfdist::Settings { bind: Ipv4Addr::LOCALHOST.into(), port: 0, ..gpfdist::Settings::default() };
    let server = Server::start(&settings, &Metrics::default()).unwrap();
    let session = server.open(Scan { path: PATH.to_owned(), xid: None, file_prefix: "floor".to_owned() });
    for (index, bytes) in blocks {
        session.push(index, bytes.clone());
    }
    session.seal();
    let location = format!("gpfdist://127.0.0.1:{}{PATH}", server.port());
    let source = format!("(LIKE {table}) LOCATION ('{location}') FORMAT 'TEXT'");
    insert_from(scene, table, &source, "*", OUR_SETTINGS)
}

/// The file's lines as one partition's records.
fn encoded(file: &[u8]) -> Vec<(BlockIndex, Bytes)> {
    let budget = Budget::new(2 * file.len() + (1 << 20));
    let mut decoder = decoder(&csv());
    let (mut blocks, mut rows) = (Vec::new(), Rows::default());
    let mut lines = (0..).zip(file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())).peekable();
    while let Some(&(first, _)) = lines.peek() {
        let permit = budget.try_acquire(BLOCK_BYTES).expect("the budget is twice what the rows take");
        let mut block = BlockBuilder::new(0, first, Generation(1), permit);
        while let Some((offset, line)) = lines.next_if(|_| !block.is_full()) {
            add(&mut block, &mut *decoder, &mut rows, &Record::new(0, offset, Some(line)));
        }
        let block = block.seal().expect("it has a row");
        blocks.push((block.index, block.bytes));
    }
    blocks
}

fn csv() -> decode::Settings {
    let column = |(name, _): &(&str, &str)| Column::text(*name);
    decode::Settings::of_value(Format::Csv(CsvOptions::default()), COLUMNS.iter().map(column).collect())
}

fn add(block: &mut BlockBuilder, decoder: &mut dyn Decoder, rows: &mut Rows, record: &Record<'_>) {
    rows.clear();
    decoder.decode(record, rows).unwrap();
    block.push(record, rows);
}
