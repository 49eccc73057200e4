//! One instance of a module, its memory and what it imports.

use std::sync::Arc;

use wasmi::{Caller, Linker, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, TrapCode, TypedFunc};

use super::{Error, Settings, one_line};
use crate::record::Record;

/// What imports are found under.
const IMPORTS: &str = "gpkafka";
/// Where a message is put.
const ALLOC: &str = "gpkafka_alloc";
/// Longer reasons are cut: they go into log lines.
const REASON_BYTES_MAX: usize = 1000;
/// A buffer that one huge message has stretched is given back.
const KEPT_BYTES: usize = 1 << 20;
/// Tables of functions: more than any compiler makes.
const TABLE_ELEMENTS_MAX: usize = 1 << 20;

/// What a module says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passes as it is.
    Unchanged,
    /// It is these bytes now. Give them back with [`Transform::give_back`].
    Changed(Vec<u8>),
    /// It goes no further.
    Dropped,
    /// It is refused.
    Rejected(String),
}

/// An instance. Belongs to one thread.
pub struct Transform {
    store: Store<Host>,
    memory: Memory,
    alloc: TypedFunc<i32, i32>,
    function: TypedFunc<(i32, i32), i32>,
    settings: Arc<Settings>,
}

/// What imports work on.
struct Host {
    limits: StoreLimits,
    output: Vec<u8>,
    has_output: bool,
    reason: String,
    key: Option<Vec<u8>>,
    /// The module asks for keys at all.
    wants_keys: bool,
    bytes_max: usize,
}

impl Transform {
    pub(super) fn start(module: &Module, settings: &Arc<Settings>) -> Result<Self, String> {
        let limits = StoreLimitsBuilder::new()
            .memory_size(settings.memory_bytes_max)
            .table_elements(TABLE_ELEMENTS_MAX)
            .memories(1)
            .instances(1)
            .build();
        let host = Host {
            limits,
            output: Vec::new(),
            has_output: false,
            reason: String::new(),
            key: None,
            wants_keys: module.imports().any(|import| import.name().starts_with("key")),
            bytes_max: settings.memory_bytes_max,
        };
        let mut store = Store::new(module.engine(), host);
        store.limiter(|host| &mut host.limits);
        refuel(&mut store, settings)?;
        let mut linker = Linker::new(module.engine());
        imports(&mut linker).map_err(|error| error.to_string())?;
        let instance = linker.instantiate_and_start(&mut store, module).map_err(|error| {
            format!("it cannot be started, and may import nothing but what gpkafka has: {}", told(&error, settings))
        })?;
        let memory = instance.get_memory(&store, "memory").ok_or("it exports no `memory`")?;
        let wrong = |name: &str, types: &str, error: &wasmi::Error| {
            format!("it exports no function `{name}` of {types}: {}", one_line(&error.to_string()))
        };
        let alloc = instance.get_typed_func(&store, ALLOC).map_err(|error| wrong(ALLOC, "(i32) -> i32", &error))?;
        let typed = |store: &Store<Host>, name: &str| {
            instance.get_typed_func(store, name).map_err(|error| wrong(name, "(i32, i32) -> i32", &error))
        };
        let function = typed(&store, &settings.transform)?;
        let on_init = settings.on_init.as_ref().map(|name| typed(&store, name)).transpose()?;
        let mut transform = Self { store, memory, alloc, function, settings: Arc::clone(settings) };
        if let Some(function) = on_init {
            let properties = transform.settings.properties.clone();
            match transform.call(&function, properties.as_bytes())? {
                0 => {}
                _ => return Err(format!("ON_INIT refuses: {}", transform.reason())),
            }
        }
        Ok(transform)
    }

    /// What becomes of a record's value; a tombstone passes.
    ///
    /// # Errors
    /// The module stops the job, or did what it may not.
    pub fn apply(&mut self, record: &Record<'_>) -> Result<Verdict, Error> {
        let Some(value) = record.payload else { return Ok(Verdict::Unchanged) };
        self.judge(value, record.key).map_err(|text| Error { path: self.settings.path.clone(), text })
    }

    fn judge(&mut self, value: &[u8], key: Option<&[u8]>) -> Result<Verdict, String> {
        let host = self.store.data_mut();
        host.key = key.filter(|_| host.wants_keys).map(<[u8]>::to_vec);
        let function = self.function;
        let verdict = self.call(&function, value)?;
        let host = self.store.data_mut();
        match verdict {
            0 if host.has_output => Ok(Verdict::Changed(std::mem::take(&mut host.output))),
            0 => Ok(Verdict::Unchanged),
            1 if host.reason.is_empty() => Ok(Verdict::Dropped),
            1 => Ok(Verdict::Rejected(std::mem::take(&mut host.reason))),
            2 => Err(self.reason()),
            other => Err(format!("{other} is no verdict: 0 accepts, 1 rejects, 2 stops the job")),
        }
    }

    /// Lets the next message use the bytes of this one's.
    pub fn give_back(&mut self, output: Vec<u8>) {
        if output.capacity() <= KEPT_BYTES {
            self.store.data_mut().output = output;
        }
    }

    /// Brings bytes into the memory and calls a function on them.
    fn call(&mut self, function: &TypedFunc<(i32, i32), i32>, input: &[u8]) -> Result<i32, String> {
        let host = self.store.data_mut();
        host.output.clear();
        host.reason.clear();
        host.has_output = false;
        refuel(&mut self.store, &self.settings)?;
        let length =
            i32::try_from(input.len()).map_err(|_| format!("a message of {} bytes is too large", input.len()))?;
        let settings = Arc::clone(&self.settings);
        let trapped = |name: &str, error: &wasmi::Error| format!("{name} failed: {}", told(error, &settings));
        let at = self.alloc.call(&mut self.store, length).map_err(|error| trapped(ALLOC, &error))?;
        self.memory.write(&mut self.store, address(at), input).map_err(|_| {
            format!("{ALLOC} gave {at}, and {length} bytes from there are outside of the module's memory")
        })?;
        function.call(&mut self.store, (at, length)).map_err(|error| trapped("the call", &error))
    }

    fn reason(&self) -> String {
        let reason = &self.store.data().reason;
        if reason.is_empty() { "it gives no reason".to_owned() } else { one_line(reason) }
    }
}

/// An address of WebAssembly is 32 bits without a sign.
fn address(at: i32) -> usize {
    at.cast_unsigned() as usize
}

fn refuel(store: &mut Store<Host>, settings: &Settings) -> Result<(), String> {
    store.set_fuel(settings.fuel).map_err(|error| error.to_string())
}

/// What a trap means to who has written the module.
fn told(error: &wasmi::Error, settings: &Settings) -> String {
    match error.as_trap_code() {
        Some(TrapCode::OutOfFuel) => {
            format!("it has run for {} instructions without coming to an end", settings.fuel)
        }
        _ => one_line(&error.to_string()),
    }
}

fn imports(linker: &mut Linker<Host>) -> Result<(), wasmi::errors::LinkerError> {
    linker.func_wrap(IMPORTS, "output", |mut caller: Caller<'_, Host>, at: i32, length: i32| {
        let room = caller.data().bytes_max - caller.data().output.len();
        let mut output = std::mem::take(&mut caller.data_mut().output);
        let copied = copy(&mut caller, at, length, room, &mut output);
        let host = caller.data_mut();
        (host.output, host.has_output) = (output, true);
        copied
    })?;
    linker.func_wrap(IMPORTS, "reason", |mut caller: Caller<'_, Host>, at: i32, length: i32| {
        let mut bytes = Vec::new();
        let length = address(length).min(REASON_BYTES_MAX);
        let length = i32::try_from(length).expect("it is short");
        copy(&mut caller, at, length, REASON_BYTES_MAX, &mut bytes)?;
        caller.data_mut().reason = String::from_utf8_lossy(&bytes).into_owned();
        Ok::<(), wasmi::Error>(())
    })?;
    linker.func_wrap(IMPORTS, "key_length", |caller: Caller<'_, Host>| -> i32 {
        let key = caller.data().key.as_ref();
        key.map_or(-1, |key| i32::try_from(key.len()).unwrap_or(i32::MAX))
    })?;
    linker.func_wrap(IMPORTS, "key", |mut caller: Caller<'_, Host>, at: i32| {
        let key = caller.data_mut().key.take().unwrap_or_default();
        charge(&mut caller, key.len())?;
        let memory = memory(&caller)?;
        let written = memory.write(&mut caller, address(at), &key);
        caller.data_mut().key = Some(key);
        written.map_err(|_| wasmi::Error::new("key() would write outside of the module's memory"))
    })?;
    Ok(())
}

/// Adds bytes of the module's memory to `into`.
fn copy(
    caller: &mut Caller<'_, Host>,
    at: i32,
    length: i32,
    room: usize,
    into: &mut Vec<u8>,
) -> Result<(), wasmi::Error> {
    let (at, length) = (address(at), address(length));
    charge(caller, length)?;
    if length > room {
        let most = caller.data().bytes_max;
        return Err(wasmi::Error::new(format!("it puts out more than the {most} bytes that a message may have")));
    }
    let bytes = memory(caller)?.data(&*caller).get(at..at.saturating_add(length));
    let bytes = bytes.ok_or_else(|| {
        wasmi::Error::new(format!("{length} bytes from address {at} are outside of the module's memory"))
    })?;
    into.extend_from_slice(bytes);
    Ok(())
}

fn memory(caller: &Caller<'_, Host>) -> Result<Memory, wasmi::Error> {
    let memory = caller.get_export("memory").and_then(|export| export.into_memory());
    memory.ok_or_else(|| wasmi::Error::new("the module exports no memory"))
}

/// Copying is work too: an endless loop of it must end.
fn charge(caller: &mut Caller<'_, Host>, bytes: usize) -> Result<(), wasmi::Error> {
    match caller.get_fuel()?.checked_sub(bytes as u64) {
        Some(left) => caller.set_fuel(left),
        None => Err(wasmi::Error::from(TrapCode::OutOfFuel)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Program;
    use super::*;

    const UPPER: &str = include_str!("upper.wat");

    fn started(text: &str, change: impl FnOnce(&mut Settings)) -> Result<Transform, String> {
        let mut settings = Settings::new("t.wat", "upper");
        change(&mut settings);
        let program = Program::new(text.as_bytes(), settings).map_err(|error| error.to_string())?;
        program.start().map_err(|error| error.to_string())
    }

    fn said(transform: &mut Transform, value: &[u8]) -> String {
        let mut record = Record::new(0, 7, Some(value));
        record.key = Some(b"the key");
        match transform.apply(&record) {
            Ok(Verdict::Changed(output)) => {
                let shown = String::from_utf8_lossy(&output).into_owned();
                transform.give_back(output);
                shown
            }
            Ok(verdict) => format!("{verdict:?}"),
            Err(error) => error.to_string(),
        }
    }

    /// A module around a body; memory, allocator and imports are there.
    fn module(body: &str) -> String {
        format!(
            r#"(module
              (import "gpkafka" "output" (func $output (param i32 i32)))
              (import "gpkafka" "reason" (func $reason (param i32 i32)))
              (import "gpkafka" "key_length" (func $key_length (result i32)))
              (import "gpkafka" "key" (func $key (param i32)))
              (memory (export "memory") 1)
              (data (i32.const 0) "too bad")
              (func (export "gpkafka_alloc") (param i32) (result i32) (i32.const 1024))
              (func (export "upper") (param $at i32) (param $length i32) (result i32) {body}))"#
        )
    }

    #[test]
    fn the_example_of_the_documentation_does_what_it_says() {
        let mut upper = started(UPPER, |_| {}).unwrap();
        assert_eq!(said(&mut upper, b"ab{Cz}\xff\xc3\xa4"), "AB{CZ}\u{fffd}\u{e4}");
        assert_eq!(said(&mut upper, b"# no"), "Dropped");
        assert_eq!(said(&mut upper, b""), "Rejected(\"the message is empty\")");
        let large = vec![b'x'; 300_000];
        assert_eq!(said(&mut upper, &large), "X".repeat(300_000));
        assert_eq!(said(&mut upper, b"small again"), "SMALL AGAIN");
        assert_eq!(upper.apply(&Record::new(0, 0, None)).unwrap(), Verdict::Unchanged);
    }

    #[test]
    fn a_verdict_without_output_leaves_the_message_as_it_is() {
        for (body, expected) in [
            ("(i32.const 0)", "Unchanged"),
            ("(call $output (i32.const 0) (i32.const 0)) (i32.const 0)", ""),
            (
                "(call $output (local.get $at) (i32.const 1)) (call $output (i32.const 0) (i32.const 3)) (i32.const 0)",
                "atoo",
            ),
            ("(call $key (i32.const 8)) (call $output (i32.const 8) (call $key_length)) (i32.const 0)", "the key"),
            ("(call $reason (i32.const 0) (i32.const 7)) (i32.const 2)", "transformer t.wat: too bad"),
            ("(i32.const 2)", "transformer t.wat: it gives no reason"),
            ("(i32.const 3)", "transformer t.wat: 3 is no verdict: 0 accepts, 1 rejects, 2 stops the job"),
        ] {
            let mut transform = started(&module(body), |_| {}).unwrap();
            for _ in 0..2 {
                assert_eq!(said(&mut transform, b"abc"), expected, "{body}");
            }
        }
    }

    #[test]
    fn what_it_may_not_do_stops_the_job() {
        for (body, expected) in [
            (
                "(loop $for_ever (br $for_ever)) (i32.const 0)",
                "it has run for 100000 instructions without coming to an end",
            ),
            (
                "(loop $for_ever (call $key (i32.const 8)) (br $for_ever)) (i32.const 0)",
                "it has run for 100000 instructions without coming to an end",
            ),
            ("(unreachable)", "the call failed: "),
            (
                "(call $output (i32.const -1) (i32.const 2)) (i32.const 0)",
                "2 bytes from address 4294967295 are outside of the module's memory",
            ),
            (
                "(loop $for_ever (call $output (i32.const 0) (i32.const 30000)) (br $for_ever)) (i32.const 0)",
                "it puts out more than the 65536 bytes that a message may have",
            ),
            ("(memory.grow (i32.const 1))", "-1 is no verdict"),
        ] {
            let limits = |settings: &mut Settings| (settings.fuel, settings.memory_bytes_max) = (100_000, 65536);
            let mut transform = started(&module(body), limits).unwrap();
            let said = said(&mut transform, b"abc");
            assert!(said.contains(expected), "{body}: {said}");
        }
        let mut transform = started(&module("(i32.const 0)"), |_| {}).unwrap();
        let said = said(&mut transform, &vec![0; 70_000]);
        assert!(said.contains("gpkafka_alloc gave 1024, and 70000 bytes from there are outside"), "{said}");
    }

    #[test]
    fn a_module_that_does_not_fit_is_refused_at_the_start() {
        let refused = |text: &str, change: fn(&mut Settings)| started(text, change).err().unwrap_or_default();
        for (text, expected) in [
            ("(module", "it is no WebAssembly module that can be loaded"),
            ("\0asm\x01\0\0\0\x7f", "it is no WebAssembly module that can be loaded"),
            ("(module)", "it exports no `memory`"),
            ("(module (memory (export \"memory\") 1))", "it exports no function `gpkafka_alloc` of (i32) -> i32"),
            ("(module (memory (export \"memory\") 2000))", "it cannot be started"),
            ("(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func)))", "wasi_snapshot_preview1"),
            ("(module (func $f (loop (br 0))) (start $f))", "without coming to an end"),
        ] {
            let said = refused(text, |settings| settings.fuel = 100_000);
            assert!(said.starts_with("transformer t.wat: ") && said.contains(expected), "{text}: {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        let said = refused(UPPER, |settings| settings.transform = "lower".to_owned());
        assert!(said.contains("it exports no function `lower` of (i32, i32) -> i32"), "{said}");
    }

    #[test]
    fn on_init_gets_the_properties_and_may_refuse_them() {
        let init = r#"(func (export "init") (param i32 i32) (result i32)
            (call $reason (local.get 0) (local.get 1)) (i32.ne (local.get 1) (i32.const 7)))
            (func (export "upper")"#;
        let text = module("(i32.const 0)").replace("(func (export \"upper\")", init);
        let started = |properties: &str| {
            let properties = properties.to_owned();
            started(&text, move |settings| {
                (settings.on_init, settings.properties) = (Some("init".to_owned()), properties);
            })
        };
        assert!(started(r#"{"a":1}"#).is_ok());
        let said = started(r#"{"a":"b"}"#).err().unwrap();
        assert_eq!(said, r#"transformer t.wat: ON_INIT refuses: {"a":"b"}"#);
    }
}
