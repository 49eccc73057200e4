//! Which values of a document are wanted: the columns' paths as one tree, so that a document is walked once for all.

use std::sync::Arc;

use super::super::{Column, ColumnKind};
use crate::row::Room;

/// So many names are looked through faster than they are searched.
const FEW: usize = 12;

/// The tree. Node 0 is the document.
pub(super) struct Plan {
    fields: Vec<Field>,
    nodes: Vec<Node>,
    /// How many bytes fields may come to, a byte of the document.
    growth: usize,
}

/// A column that is sent.
pub(super) struct Field {
    pub name: Arc<str>,
    pub kind: ColumnKind,
}

#[derive(Default)]
struct Node {
    /// By length, then bytes: most names differ in the first.
    members: Vec<(Box<[u8]>, usize)>,
    elements: Vec<(u64, usize)>,
    /// Fields that are this very value.
    fields: Vec<usize>,
    /// Those and all inside of it.
    below: Vec<usize>,
}

impl Plan {
    pub fn new(columns: &[Column]) -> Self {
        let mut plan = Self { fields: Vec::new(), nodes: vec![Node::default()], growth: 0 };
        for column in columns.iter().filter(|column| !column.is_ignored) {
            let field = plan.fields.len();
            plan.fields.push(Field { name: column.name.as_str().into(), kind: column.kind });
            let mut node = 0;
            plan.nodes[node].below.push(field);
            for name in &column.path {
                node = plan.child(node, name);
                plan.nodes[node].below.push(field);
            }
            plan.nodes[node].fields.push(field);
        }
        plan.growth = plan.growth_of(0);
        for node in &mut plan.nodes {
            node.members.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
            node.elements.sort_unstable();
        }
        plan
    }

    fn child(&mut self, node: usize, name: &str) -> usize {
        let members = &self.nodes[node].members;
        if let Some(&(_, child)) = members.iter().find(|(known, _)| **known == *name.as_bytes()) {
            return child;
        }
        let child = self.nodes.len();
        self.nodes.push(Node::default());
        self.nodes[node].members.push((name.as_bytes().into(), child));
        // one spelling a number, so that no two children are one element
        let element = name.parse().ok().filter(|element: &u64| element.to_string() == name);
        self.nodes[node].elements.extend(element.map(|element| (element, child)));
        child
    }

    /// Values side by side share the document's bytes; one inside another takes them again.
    fn growth_of(&self, node: usize) -> usize {
        let of = |&field: &usize| match self.fields[field].kind {
            ColumnKind::Scalar | ColumnKind::Json => 1,
            // two digits a byte; a document in an array with all of its quotes escaped
            ColumnKind::Bytes | ColumnKind::Array => 2,
        };
        let own: usize = self.nodes[node].fields.iter().map(of).sum();
        let inside = self.nodes[node].members.iter().map(|&(_, child)| self.growth_of(child)).max();
        own + inside.unwrap_or(0)
    }

    /// The fields, in the order of a row.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The member of an object.
    pub fn member(&self, node: usize, name: &[u8]) -> Option<usize> {
        let members = &self.nodes[node].members;
        if members.len() <= FEW {
            // their lengths tell most of them apart
            return members.iter().find(|(known, _)| **known == *name).map(|(_, child)| *child);
        }
        let at = members.binary_search_by(|(known, _)| (known.len(), &**known).cmp(&(name.len(), name))).ok()?;
        Some(members[at].1)
    }

    /// The element of an array.
    pub fn element(&self, node: usize, element: u64) -> Option<usize> {
        let elements = &self.nodes[node].elements;
        let at = elements.binary_search_by_key(&element, |&(element, _)| element).ok()?;
        Some(elements[at].1)
    }

    /// The fields that are the value of a node.
    pub fn at(&self, node: usize) -> &[usize] {
        &self.nodes[node].fields
    }

    /// The fields that are the value of a node, or inside of it.
    pub fn below(&self, node: usize) -> &[usize] {
        &self.nodes[node].below
    }

    /// What so many documents of so many bytes come to.
    pub fn room(&self, bytes: usize, documents: usize) -> Room {
        let fields = documents.saturating_mul(self.fields.len());
        // `\x` before hex
        let bytes = bytes.saturating_mul(self.growth).saturating_add(fields.saturating_mul(2));
        Room { bytes, fields, rows: documents }
    }
}
