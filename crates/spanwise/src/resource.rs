//! Who records.

use std::fmt::Write;
use std::path::Path;

use spanwise_model::{Attributes, Resource, Value};

/// What is known without being told. `given` wins over it.
pub(crate) fn described(given: Attributes) -> Resource {
    let mut attributes = Attributes::default();
    let executable = std::env::current_exe().ok();
    let name = executable.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
    let service = match &name {
        Some(name) => format!("unknown_service:{name}"),
        None => "unknown_service".to_owned(),
    };
    attributes.push("service.name", service);
    attributes.push("telemetry.sdk.name", "spanwise");
    attributes.push("telemetry.sdk.language", "rust");
    attributes.push("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
    if let Some(host) = host_name() {
        attributes.push("host.name", host);
    }
    if let Some(name) = name {
        attributes.push("process.executable.name", name.into_owned());
    }
    for attribute in given.0 {
        attributes.0.retain(|known| known.key != attribute.key);
        attributes.0.push(attribute);
    }
    Resource { attributes, ..Resource::default() }
}

/// The same with what differs from process to process, where nothing else was said.
pub(crate) fn of_process(mut resource: Resource) -> Resource {
    let said = |resource: &Resource, key: &str| resource.attributes.get(key).is_some();
    if !said(&resource, "process.pid") {
        resource.attributes.push("process.pid", Value::Int(std::process::id().into()));
    }
    if !said(&resource, "service.instance.id")
        && let Some(id) = instance_id()
    {
        resource.attributes.push("service.instance.id", id);
    }
    resource
}

/// A random UUID; `None` where the system has no randomness to give.
fn instance_id() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    // Version 4, variant 1.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut id = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        // Writing to memory cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    Some(id)
}

#[cfg(unix)]
fn host_name() -> Option<String> {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy().into_owned();
    (!name.is_empty()).then_some(name)
}

#[cfg(not(unix))]
fn host_name() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}
