//! How columns are found in the data of one schema: each path, name by name, through the types that the schema has.
//! Made anew for every schema, so that a name is compared once and not for every record.

use std::collections::HashMap;

use super::super::Column;
use super::fault::{Fault, Result};
use super::json::ITEM_TEXT_BYTES;
use super::plan::{Node, NodeId, Plan};
use super::read::{Blocks, Reader};
use super::sink::Fields;

/// The place of a step.
type RouteId = usize;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// This is it.
    Here,
    /// There is none.
    Absent,
    /// The datum has no parts at all, and what the columns mean by theirs cannot be guessed.
    NoParts,
    Field {
        at: usize,
        then: RouteId,
    },
    /// The value of a key, which is the part of the path at this depth.
    Key {
        depth: usize,
        then: RouteId,
    },
    Item {
        number: u64,
        then: RouteId,
    },
    /// As many steps as the union has branches.
    Union {
        branches: usize,
    },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Routes {
    steps: Vec<Step>,
    branches: Vec<RouteId>,
    /// Where the columns begin.
    columns: Vec<RouteId>,
    /// The columns' fields, where all are fields of one record by their names and come in its order: then one pass over
    /// the datum is enough.
    in_order: Option<Vec<usize>>,
}

/// One column's.
struct Search<'a> {
    plan: &'a Plan,
    path: &'a [String],
    /// It is the only column and any datum is it, but for records.
    takes_all: bool,
    routes: &'a mut Routes,
    /// Types that the path comes to by several branches.
    found: HashMap<(NodeId, usize), RouteId>,
}

impl Routes {
    pub fn new(plan: &Plan, columns: &[Column]) -> Self {
        let mut routes = Self { steps: Vec::new(), branches: Vec::new(), columns: Vec::new(), in_order: None };
        for column in columns {
            let takes_all = columns.len() == 1 && (column.path.is_empty() || is_own_name(column));
            let found = HashMap::new();
            let mut search = Search { plan, path: &column.path, takes_all, routes: &mut routes, found };
            let route = search.route(plan.root(), 0);
            routes.columns.push(route);
        }
        routes.in_order = routes.in_order(plan, columns);
        routes
    }

    fn in_order(&self, plan: &Plan, columns: &[Column]) -> Option<Vec<usize>> {
        let Node::Record { fields } = plan.node(plan.root()) else { return None };
        let fields = plan.fields(fields);
        let at = |(route, column): (&RouteId, &Column)| match self.steps[*route] {
            Step::Field { at, then } if matches!(self.steps[then], Step::Here) => {
                (*fields[at].name == *column.path[0]).then_some(at)
            }
            _ => None,
        };
        let found: Vec<usize> = self.columns.iter().zip(columns).map(at).collect::<Option<_>>()?;
        found.is_sorted_by(|one, next| one < next).then_some(found)
    }
}

/// Whether the path says no more than the name.
fn is_own_name(column: &Column) -> bool {
    matches!(&column.path[..], [part] if *part == column.name)
}

impl Search<'_> {
    fn route(&mut self, id: NodeId, depth: usize) -> RouteId {
        if let Some(&route) = self.found.get(&(id, depth)) {
            return route;
        }
        let step = self.step(id, depth);
        self.routes.steps.push(step);
        let route = self.routes.steps.len() - 1;
        self.found.insert((id, depth), route);
        route
    }

    fn step(&mut self, id: NodeId, depth: usize) -> Step {
        let Some(part) = self.path.get(depth) else { return Step::Here };
        let node = self.plan.node(id);
        let is_root = depth == 0;
        match node {
            Node::Union { branches } => {
                let plan = self.plan;
                let routes: Vec<_> = plan.branches(branches).iter().map(|&branch| self.route(branch, depth)).collect();
                let first = self.routes.branches.len();
                self.routes.branches.extend(routes);
                Step::Union { branches: first }
            }
            Node::Record { fields } => {
                let fields = self.plan.fields(fields);
                let by_name = fields.iter().position(|field| *field.name == **part);
                let has_alias =
                    |alias: &str| fields.iter().position(|field| field.aliases.iter().any(|known| **known == *alias));
                match by_name.or_else(|| has_alias(part)) {
                    Some(at) => Step::Field { at, then: self.route(fields[at].node, depth + 1) },
                    None => Step::Absent,
                }
            }
            _ if is_root && self.takes_all => Step::Here,
            Node::Map { values } => Step::Key { depth, then: self.route(values, depth + 1) },
            Node::Array { items } => match part.parse() {
                Ok(number) => Step::Item { number, then: self.route(items, depth + 1) },
                Err(_) => Step::Absent,
            },
            Node::Null => Step::Absent,
            _ if is_root => Step::NoParts,
            _ => Step::Absent,
        }
    }
}

/// A datum that was looked over once, so that its columns can be gone to.
pub(super) struct Datum {
    /// Unions aside.
    id: NodeId,
    /// Its branch, where it is a union.
    branch: Option<usize>,
    at: usize,
}

impl Reader<'_> {
    /// Adds the columns of a datum in one pass over it, where its routes allow that; false where they do not.
    pub fn columns<F: Fields>(&mut self, routes: &Routes, columns: &[Column], out: &mut F) -> Result<bool> {
        let (Some(in_order), Node::Record { fields }) = (&routes.in_order, self.plan.node(self.plan.root())) else {
            return Ok(false);
        };
        self.enter()?;
        let mut wanted = in_order.iter().zip(columns).peekable();
        for (at, field) in self.plan.fields(fields).iter().enumerate() {
            let read = match wanted.next_if(|(wanted, _)| **wanted == at) {
                Some((_, column)) => self.field(field.node, column.kind, out),
                None => self.skip(field.node),
            };
            read.map_err(|fault| fault.within(&field.name))?;
        }
        self.end().map(|()| true)
    }

    /// Reads past the whole datum, and notes in `starts` where the fields of a record begin.
    pub fn look_over(&mut self, starts: &mut Vec<usize>) -> Result<Datum> {
        starts.clear();
        let mut datum = Datum { id: self.plan.root(), branch: None, at: 0 };
        if let Node::Union { branches } = self.plan.node(datum.id) {
            let (branch, id) = self.branch(branches)?;
            datum = Datum { id, branch: Some(branch), at: self.at };
        }
        match self.plan.node(datum.id) {
            Node::Record { fields } => {
                self.enter()?;
                for field in self.plan.fields(fields) {
                    starts.push(self.at);
                    self.skip(field.node).map_err(|fault| fault.within(&field.name))?;
                }
            }
            _ => self.skip(datum.id)?,
        }
        self.end()?;
        Ok(datum)
    }

    /// Goes to a column's value. `None`: there is none.
    pub fn find(
        &mut self,
        datum: &Datum,
        starts: &[usize],
        routes: &Routes,
        column: usize,
        path: &[String],
    ) -> Result<Option<NodeId>> {
        let mut route = routes.columns[column];
        if let (Step::Union { branches }, Some(branch)) = (routes.steps[route], datum.branch) {
            route = routes.branches[branches + branch];
        }
        let mut id = datum.id;
        self.go_to(datum.at);
        if let (Step::Field { at, then }, Node::Record { fields }) = (routes.steps[route], self.plan.node(id)) {
            self.go_to(starts[at]);
            (route, id) = (then, self.plan.fields(fields)[at].node);
        }
        loop {
            let step = routes.steps[route];
            if matches!(step, Step::Here) {
                return Ok(Some(id));
            }
            (route, id) = match (step, self.plan.node(id)) {
                (Step::Union { branches }, Node::Union { branches: types }) => {
                    let (branch, id) = self.branch(types)?;
                    (routes.branches[branches + branch], id)
                }
                (Step::Field { at, then }, Node::Record { fields }) => {
                    let fields = self.plan.fields(fields);
                    fields[..at].iter().try_for_each(|field| self.skip(field.node))?;
                    (then, fields[at].node)
                }
                (Step::Key { depth, then }, Node::Map { values }) => {
                    match self.find_key(values, path[depth].as_bytes())? {
                        true => (then, values),
                        false => return Ok(None),
                    }
                }
                (Step::Item { number, then }, Node::Array { items }) => match self.find_item(items, number)? {
                    true => (then, items),
                    false => return Ok(None),
                },
                (Step::NoParts, node) => {
                    let text =
                        format!("the datum is of type {} and has no fields; one column alone takes it", node.name());
                    return Err(Fault::new(text));
                }
                _ => return Ok(None),
            };
        }
    }

    /// The first of that name.
    fn find_key(&mut self, values: NodeId, key: &[u8]) -> Result<bool> {
        let mut blocks = Blocks::default();
        while self.item(&mut blocks, true)? {
            if self.chunk()? == key {
                return Ok(true);
            }
            self.skip(values)?;
        }
        Ok(false)
    }

    fn find_item(&mut self, items: NodeId, number: u64) -> Result<bool> {
        let takes_bytes = self.plan.size(items) != Some(0);
        let mut blocks = Blocks::default();
        for _ in 0..number {
            if !self.item(&mut blocks, takes_bytes)? {
                return Ok(false);
            }
            self.charge(ITEM_TEXT_BYTES)?;
            self.skip(items)?;
        }
        self.item(&mut blocks, takes_bytes)
    }
}
