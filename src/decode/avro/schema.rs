//! A schema's JSON → a [`Plan`]. Names are resolved here, with namespaces, and so are the types of a schema's references.
//! Defaults, documentation and unknown attributes are read past; logical types that are unknown or do not fit their type
//! are ignored, as the specification wants it.
//!
//! It calls itself for every level of the text, and `serde_json` refuses more than 128 of those.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::logical_types;
use super::plan::{Field, Node, NodeId, Plan, Span};
use crate::schema::{Schema, SchemaKind};

type Object = Map<String, Value>;

/// Why a schema cannot be used, for one line.
type Result<T> = std::result::Result<T, String>;

/// Compiles a schema with its references.
pub(super) fn compile(schema: &Schema) -> Result<Plan> {
    if schema.kind != SchemaKind::Avro {
        return Err("it is no Avro schema".to_owned());
    }
    let mut compiler = Compiler::default();
    for reference in &schema.references {
        compiler.reference(&reference.name, &reference.text).map_err(|text| format!("{}: {text}", reference.name))?;
    }
    let root = compiler.text(&schema.text)?;
    compiler.plan.root = Some(root);
    Ok(compiler.plan)
}

#[derive(Default)]
struct Compiler {
    plan: Plan,
    /// Full names of records, enums and fixeds. A record is in it before its fields are, so that they can name it.
    names: HashMap<String, NodeId>,
}

impl Compiler {
    fn reference(&mut self, name: &str, text: &str) -> Result<()> {
        if self.names.contains_key(name) {
            return Ok(());
        }
        let id = self.text(text)?;
        self.names.entry(name.to_owned()).or_insert(id);
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<NodeId> {
        let json: Value =
            serde_json::from_str(text).map_err(|error| format!("its text is not read as JSON: {error}"))?;
        self.node(&json, "")
    }

    fn node(&mut self, json: &Value, namespace: &str) -> Result<NodeId> {
        match json {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => self.object(object, namespace),
            other => Err(format!("a type is a name, an object or a list, not {other}")),
        }
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<NodeId> {
        if let Some((node, size)) = primitive(name) {
            return self.add(node, size);
        }
        let known = self.names.get(&full_name(name, namespace)).or_else(|| self.names.get(name));
        known.copied().ok_or_else(|| format!("unknown type {name:?}"))
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<NodeId> {
        if branches.is_empty() {
            return Err("a union of no types".to_owned());
        }
        let mut ids = Vec::with_capacity(branches.len());
        for branch in branches {
            let id = self.node(branch, namespace)?;
            if matches!(self.plan.node(id), Node::Union { .. }) {
                return Err("a union in a union".to_owned());
            }
            ids.push(id);
        }
        let branches = span(self.plan.branches.len(), ids.len())?;
        self.plan.branches.extend(ids);
        self.add(Node::Union { branches }, None)
    }

    fn object(&mut self, object: &Object, namespace: &str) -> Result<NodeId> {
        let kind = match object.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(inner @ (Value::Object(_) | Value::Array(_))) => return self.node(inner, namespace),
            Some(other) => return Err(format!("a type is a name, an object or a list, not {other}")),
            None => return Err("a type without \"type\"".to_owned()),
        };
        match kind {
            "record" | "error" => self.record(object, namespace),
            "enum" => self.enumeration(object, namespace),
            "fixed" => self.fixed(object, namespace),
            "array" => {
                let items = self.inner(object, "items", namespace)?;
                self.add(Node::Array { items }, None)
            }
            "map" => {
                let values = self.inner(object, "values", namespace)?;
                self.add(Node::Map { values }, None)
            }
            name => match primitive(name) {
                Some((node, size)) => self.add(logical_types::of(node, object).unwrap_or(node), size),
                None => self.named(name, namespace),
            },
        }
    }

    fn inner(&mut self, object: &Object, key: &str, namespace: &str) -> Result<NodeId> {
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
        let json = object.get(key).ok_or_else(|| format!("{} {kind} without {key:?}", article(kind)))?;
        self.node(json, namespace)
    }

    fn record(&mut self, object: &Object, namespace: &str) -> Result<NodeId> {
        let name = name_of(object, "record", namespace)?;
        let id = self.add(Node::Record { fields: span(0, 0)? }, None)?;
        self.define(&name, id)?;
        let own_namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let Some(Value::Array(list)) = object.get("fields") else {
            return Err(format!("record {name}: \"fields\" is no list"));
        };
        let mut fields = Vec::with_capacity(list.len());
        let mut seen = std::collections::HashSet::with_capacity(list.len());
        for json in list {
            let field =
                self.field(json, own_namespace, fields.is_empty()).map_err(|text| format!("record {name}: {text}"))?;
            if !seen.insert(field.name.clone()) {
                return Err(format!("record {name}: field {:?} is defined twice", field.name));
            }
            fields.push(field);
        }
        // a record inside itself has no size yet, and so none at all
        let mut sizes = fields.iter().map(|field| self.plan.size(field.node));
        let size = sizes.try_fold(0_usize, |sum, size| size.map(|size| sum.saturating_add(size)));
        let place = id.0 as usize;
        self.plan.nodes[place] = Node::Record { fields: span(self.plan.fields.len(), fields.len())? };
        self.plan.sizes[place] = size;
        self.plan.fields.extend(fields);
        Ok(id)
    }

    fn field(&mut self, json: &Value, namespace: &str, is_first: bool) -> Result<Field> {
        let Value::Object(object) = json else { return Err(format!("a field is an object, not {json}")) };
        let name = object.get("name").and_then(Value::as_str).ok_or("a field without a name")?;
        check_name(name)?;
        let kind = object.get("type").ok_or_else(|| format!("field {name:?} has no type"))?;
        let node = self.node(kind, namespace).map_err(|text| format!("field {name:?}: {text}"))?;
        let aliases = object.get("aliases").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let key = Value::from(name);
        Ok(Field {
            name: name.into(),
            aliases: aliases.iter().filter_map(Value::as_str).map(Into::into).collect(),
            key: if is_first { format!("{key}:") } else { format!(",{key}:") }.into(),
            node,
        })
    }

    fn enumeration(&mut self, object: &Object, namespace: &str) -> Result<NodeId> {
        let name = name_of(object, "enum", namespace)?;
        let Some(Value::Array(list)) = object.get("symbols") else {
            return Err(format!("enum {name}: \"symbols\" is no list"));
        };
        let mut seen = std::collections::HashSet::with_capacity(list.len());
        let mut symbols = Vec::with_capacity(list.len());
        for symbol in list {
            let symbol = symbol.as_str().ok_or_else(|| format!("enum {name}: {symbol} is no symbol"))?;
            check_name(symbol).map_err(|text| format!("enum {name}: {text}"))?;
            if !seen.insert(symbol) {
                return Err(format!("enum {name}: symbol {symbol:?} is there twice"));
            }
            symbols.push(symbol.into());
        }
        let id = self.add(Node::Enum { symbols: span(self.plan.symbols.len(), symbols.len())? }, None)?;
        self.plan.symbols.extend(symbols);
        self.define(&name, id)?;
        Ok(id)
    }

    fn fixed(&mut self, object: &Object, namespace: &str) -> Result<NodeId> {
        let name = name_of(object, "fixed", namespace)?;
        let size = object.get("size").and_then(Value::as_u64).and_then(|size| u32::try_from(size).ok());
        let size = size.ok_or_else(|| format!("fixed {name}: \"size\" is no number of bytes"))?;
        let node = Node::Fixed { size };
        let id = self.add(logical_types::of(node, object).unwrap_or(node), Some(size as usize))?;
        self.define(&name, id)?;
        Ok(id)
    }

    fn define(&mut self, name: &str, id: NodeId) -> Result<()> {
        match self.names.insert(name.to_owned(), id) {
            Some(_) => Err(format!("type {name:?} is defined twice")),
            None => Ok(()),
        }
    }

    fn add(&mut self, node: Node, size: Option<usize>) -> Result<NodeId> {
        let id = NodeId(place(self.plan.nodes.len())?);
        self.plan.nodes.push(node);
        self.plan.sizes.push(size);
        Ok(id)
    }
}

/// Primitive types, with their length where they always have the same.
fn primitive(name: &str) -> Option<(Node, Option<usize>)> {
    Some(match name {
        "null" => (Node::Null, Some(0)),
        "boolean" => (Node::Boolean, Some(1)),
        "int" => (Node::Int, None),
        "long" => (Node::Long, None),
        "float" => (Node::Float, Some(4)),
        "double" => (Node::Double, Some(8)),
        "bytes" => (Node::Bytes, None),
        "string" => (Node::String, None),
        _ => return None,
    })
}

/// With the namespace before it, unless it has one.
fn full_name(name: &str, namespace: &str) -> String {
    match namespace.is_empty() || name.contains('.') {
        true => name.to_owned(),
        false => format!("{namespace}.{name}"),
    }
}

/// The full name of a definition.
fn name_of(object: &Object, kind: &str, namespace: &str) -> Result<String> {
    let name =
        object.get("name").and_then(Value::as_str).ok_or_else(|| format!("{} {kind} without a name", article(kind)))?;
    check_name(name)?;
    let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
    Ok(full_name(name, namespace))
}

fn article(kind: &str) -> &'static str {
    if kind.starts_with(['a', 'e']) { "an" } else { "a" }
}

/// More than Avro's own letters and digits is let through, for many writers do not check; what cannot be a key of a
/// document in a database is not.
fn check_name(name: &str) -> Result<()> {
    match name.is_empty() || name.contains(char::is_control) {
        true => Err(format!("{name:?} is no name")),
        false => Ok(()),
    }
}

fn span(first: usize, count: usize) -> Result<Span> {
    Ok(Span { first: place(first)?, count: place(count)? })
}

fn place(number: usize) -> Result<u32> {
    u32::try_from(number).map_err(|_| "it has more types than can be counted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Reference;

    fn said(text: &str) -> String {
        let compiled = compile(&Schema::alone(SchemaKind::Avro, text));
        compiled.map_or_else(|error| error, |plan| plan.node(plan.root()).name().to_owned())
    }

    #[test]
    fn what_a_schema_may_say() {
        for (text, expected) in [
            (r#""string""#, "string"),
            (r#"{"type":"string","avro.java.string":"String"}"#, "string"),
            (r#"{"type":"error","name":"e","fields":[]}"#, "record"),
            (r#"{"type":["null","int"]}"#, "union"),
            ("int", "its text is not read as JSON: expected value at line 1 column 1"),
            ("7", "a type is a name, an object or a list, not 7"),
            (r#"{"name":"r"}"#, r#"a type without "type""#),
            (r#"{"type":7}"#, "a type is a name, an object or a list, not 7"),
            (r#""shop.order""#, r#"unknown type "shop.order""#),
            ("[]", "a union of no types"),
            (r#"["null",["int"]]"#, "a union in a union"),
            (r#"{"type":"array"}"#, r#"an array without "items""#),
            (r#"{"type":"map"}"#, r#"a map without "values""#),
            (r#"{"type":"record","fields":[]}"#, "a record without a name"),
            (r#"{"type":"record","name":"","fields":[]}"#, r#""" is no name"#),
            (r#"{"type":"record","name":"r"}"#, r#"record r: "fields" is no list"#),
            (r#"{"type":"record","name":"r","fields":[7]}"#, "record r: a field is an object, not 7"),
            (r#"{"type":"record","name":"r","fields":[{}]}"#, "record r: a field without a name"),
            (r#"{"type":"record","name":"r","fields":[{"name":"a"}]}"#, r#"record r: field "a" has no type"#),
            (
                r#"{"type":"record","name":"r","namespace":"n","fields":[{"name":"a","type":{"type":"array","items":"x"}}]}"#,
                r#"record n.r: field "a": unknown type "x""#,
            ),
            (
                r#"{"type":"record","name":"r","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
                r#"record r: field "a" is defined twice"#,
            ),
            (
                r#"{"type":"record","name":"r","fields":[{"name":"a\u0000","type":"int"}]}"#,
                r#"record r: "a\0" is no name"#,
            ),
            (r#"{"type":"enum","symbols":[]}"#, "an enum without a name"),
            (r#"{"type":"enum","name":"e"}"#, r#"enum e: "symbols" is no list"#),
            (r#"{"type":"enum","name":"e","symbols":[1]}"#, "enum e: 1 is no symbol"),
            (r#"{"type":"enum","name":"e","symbols":["A","A"]}"#, r#"enum e: symbol "A" is there twice"#),
            (r#"{"type":"fixed","name":"f"}"#, r#"fixed f: "size" is no number of bytes"#),
            (r#"{"type":"fixed","name":"f","size":-1}"#, r#"fixed f: "size" is no number of bytes"#),
            (
                r#"[{"type":"fixed","name":"f","size":1},{"type":"enum","name":"f","symbols":[]}]"#,
                r#"type "f" is defined twice"#,
            ),
        ] {
            assert_eq!(said(text), expected, "{text}");
        }
    }

    #[test]
    fn names_live_in_namespaces() {
        let of = |second: &str| {
            format!(
                r#"{{"type":"record","name":"a.b.r","fields":[
                    {{"name":"x","type":{{"type":"fixed","name":"f","size":1}}}},
                    {{"name":"y","type":{{"type":"fixed","name":"g","namespace":"c","size":1}}}},
                    {{"name":"z","type":{second}}}]}}"#
            )
        };
        for known in [r#""f""#, r#""a.b.f""#, r#""c.g""#, r#""r""#, r#"{"type":"f"}"#] {
            assert_eq!(said(&of(known)), "record", "{known}");
        }
        assert_eq!(said(&of(r#""g""#)), r#"record a.b.r: field "z": unknown type "g""#);
    }

    #[test]
    fn references_are_known_by_name() {
        let schema = |references: &[(&str, &str)]| Schema {
            references: references
                .iter()
                .map(|(name, text)| Reference { name: (*name).to_owned(), text: (*text).to_owned() })
                .collect(),
            ..Schema::alone(SchemaKind::Avro, r#"{"type":"record","name":"r","fields":[{"name":"a","type":"n.b"}]}"#)
        };
        let inner = ("n.c", r#"{"type":"fixed","name":"c","namespace":"n","size":3}"#);
        let outer =
            ("n.b", r#"{"type":"record","name":"n.b","fields":[{"name":"c","type":"c"},{"name":"d","type":"c"}]}"#);
        let plan = compile(&schema(&[inner, outer, inner])).unwrap();
        assert_eq!(plan.size(plan.root()), Some(6));
        assert_eq!(compile(&schema(&[outer])).unwrap_err(), r#"n.b: record n.b: field "c": unknown type "c""#);
        assert!(compile(&schema(&[("n.b", r#""int""#)])).is_ok());
    }

    #[test]
    fn lengths_that_are_always_the_same() {
        let size = |text: &str| {
            let plan = compile(&Schema::alone(SchemaKind::Avro, text)).unwrap();
            plan.size(plan.root())
        };
        let record = |kind: &str| {
            format!(
                r#"{{"type":"record","name":"r","fields":[{{"name":"a","type":"double"}},{{"name":"b","type":{kind}}}]}}"#
            )
        };
        assert_eq!(size(&record(r#""null""#)), Some(8));
        assert_eq!(
            size(&record(r#"{"type":"fixed","name":"f","size":4,"logicalType":"decimal","precision":9}"#)),
            Some(12)
        );
        assert_eq!(size(&record(r#""int""#)), None);
        assert_eq!(size(&record(r#""r""#)), None);
        assert_eq!(size(&record(r#"["null"]"#)), None);
    }

    #[test]
    fn a_schema_nested_without_end_is_an_error() {
        let deep = [r#"{"type":"array","items":"#.repeat(100_000), r#""int""#.to_owned(), "}".repeat(100_000)].concat();
        assert!(said(&deep).starts_with("its text is not read as JSON: recursion limit exceeded"), "{}", said(&deep));
    }
}
