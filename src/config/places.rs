//! Where every node of a YAML text stands: the shape of the document as saphyr-parser sees it, without any meaning.
//! Called by `yaml.rs`, which hangs these places on what serde_yaml reads.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, Span};

/// Deeper than any job file, and than serde_yaml goes; bounds the recursion of whoever walks the tree.
const DEPTH_MAX: usize = 128;

/// A node and where it stands, in bytes of the text.
#[derive(Debug)]
pub(super) struct Place {
    pub span: Range<usize>,
    pub shape: Shape,
}

#[derive(Debug)]
pub(super) enum Shape {
    /// The text that a scalar stands for, before anyone takes it for a number.
    Scalar(String),
    List(Vec<Rc<Place>>),
    /// Keys and values in turn.
    Map(Vec<Rc<Place>>),
}

/// A list or map that is still open.
struct Open {
    anchor: usize,
    start: usize,
    is_map: bool,
    nodes: Vec<Rc<Place>>,
}

/// Builds the tree without recursion, so that no text is too deep for the stack.
struct Builder {
    /// Byte of each character, since saphyr counts characters.
    bytes: Vec<usize>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Place>>,
    root: Option<Rc<Place>>,
}

/// The places of the first document of a text. `None` if there is no document, or saphyr can't read it.
pub(super) fn places(text: &str) -> Option<Rc<Place>> {
    let bytes = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut builder = Builder { bytes, open: Vec::new(), anchors: HashMap::new(), root: None };
    let mut parser = Parser::new_from_str(text);
    while let Some(Ok((event, span))) = parser.next_event() {
        if matches!(event, Event::DocumentEnd | Event::StreamEnd) || builder.open.len() > DEPTH_MAX {
            break;
        }
        builder.take(event, span);
    }
    builder.root
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) {
        match event {
            Event::Scalar(text, _, anchor, _) => {
                let span = self.byte(span.start.index())..self.byte(span.end.index());
                self.close(anchor, Place { span, shape: Shape::Scalar(text.into_owned()) });
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, span, false),
            Event::MappingStart(anchor, _) => self.open(anchor, span, true),
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => match self.anchors.get(&anchor).map(Rc::clone) {
                Some(place) => self.add(place),
                None => self.close(0, Place { span: 0..0, shape: Shape::Scalar(String::new()) }),
            },
            _ => {}
        }
    }

    fn open(&mut self, anchor: usize, span: Span, is_map: bool) {
        let start = self.byte(span.start.index());
        self.open.push(Open { anchor, start, is_map, nodes: Vec::new() });
    }

    fn end(&mut self, span: Span) {
        let Some(Open { anchor, start, is_map, nodes }) = self.open.pop() else { return };
        let span = start..self.byte(span.end.index()).max(start);
        self.close(anchor, Place { span, shape: if is_map { Shape::Map(nodes) } else { Shape::List(nodes) } });
    }

    fn close(&mut self, anchor: usize, place: Place) {
        let place = Rc::new(place);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&place));
        }
        self.add(place);
    }

    fn add(&mut self, place: Rc<Place>) {
        match self.open.last_mut() {
            Some(open) => open.nodes.push(place),
            None => self.root = Some(place),
        }
    }

    fn byte(&self, character: usize) -> usize {
        let end = self.bytes.len() - 1;
        self.bytes[character.min(end)]
    }
}
