//! Attribute keys that nearly every request carries, as text that nobody has to count.
//!
//! A key that is a slice of the request costs two atomic operations (one to share the request, one
//! to let go of it) and a check of its bytes, for every attribute of every span. One that is found
//! here costs a hash and a comparison. The list is a matter of speed alone: a key that is missing
//! from it is read like any other text.

/// The keys of OpenTelemetry's conventions, for generative AI first of all, and of OpenInference.
/// All have at least [`EDGE`] bytes.
const NAMES: &[&str] = &[
    "client.address",
    "client.port",
    "cloud.availability_zone",
    "cloud.platform",
    "cloud.provider",
    "cloud.region",
    "code.file.path",
    "code.function.name",
    "code.line.number",
    "container.id",
    "db.collection.name",
    "db.namespace",
    "db.operation.name",
    "db.query.summary",
    "db.query.text",
    "db.statement",
    "db.system",
    "db.system.name",
    "deployment.environment",
    "deployment.environment.name",
    "enduser.id",
    "error.message",
    "error.type",
    "exception.message",
    "exception.stacktrace",
    "exception.type",
    "gen_ai.agent.description",
    "gen_ai.agent.id",
    "gen_ai.agent.name",
    "gen_ai.completion",
    "gen_ai.conversation.id",
    "gen_ai.data_source.id",
    "gen_ai.embeddings.dimension.count",
    "gen_ai.input.messages",
    "gen_ai.operation.name",
    "gen_ai.output.messages",
    "gen_ai.output.type",
    "gen_ai.prompt",
    "gen_ai.provider.name",
    "gen_ai.request.choice.count",
    "gen_ai.request.frequency_penalty",
    "gen_ai.request.max_tokens",
    "gen_ai.request.model",
    "gen_ai.request.presence_penalty",
    "gen_ai.request.seed",
    "gen_ai.request.stop_sequences",
    "gen_ai.request.stream",
    "gen_ai.request.temperature",
    "gen_ai.request.top_k",
    "gen_ai.request.top_p",
    "gen_ai.response.finish_reasons",
    "gen_ai.response.id",
    "gen_ai.response.model",
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.system",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.id",
    "gen_ai.tool.call.result",
    "gen_ai.tool.definitions",
    "gen_ai.tool.description",
    "gen_ai.tool.name",
    "gen_ai.tool.type",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.completion_tokens",
    "gen_ai.usage.cost",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.prompt_tokens",
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.total_tokens",
    "gen_ai.workflow.name",
    "host.arch",
    "host.name",
    "http.flavor",
    "http.host",
    "http.method",
    "http.request.body.size",
    "http.request.method",
    "http.request.resend_count",
    "http.response.body.size",
    "http.response.status_code",
    "http.route",
    "http.scheme",
    "http.status_code",
    "http.target",
    "http.url",
    "http.user_agent",
    "input.mime_type",
    "input.value",
    "k8s.container.name",
    "k8s.deployment.name",
    "k8s.namespace.name",
    "k8s.node.name",
    "k8s.pod.name",
    "llm.invocation_parameters",
    "llm.model_name",
    "llm.provider",
    "llm.request.type",
    "llm.system",
    "llm.token_count.completion",
    "llm.token_count.prompt",
    "llm.token_count.total",
    "messaging.destination.name",
    "messaging.message.id",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
    "metadata",
    "net.host.name",
    "net.host.port",
    "net.peer.ip",
    "net.peer.name",
    "net.peer.port",
    "network.local.address",
    "network.local.port",
    "network.peer.address",
    "network.peer.port",
    "network.protocol.name",
    "network.protocol.version",
    "network.transport",
    "network.type",
    "openinference.span.kind",
    "os.description",
    "otel.library.name",
    "otel.scope.name",
    "otel.status_code",
    "output.mime_type",
    "output.value",
    "peer.service",
    "process.command_args",
    "process.executable.name",
    "process.pid",
    "process.runtime.name",
    "process.runtime.version",
    "rpc.grpc.status_code",
    "rpc.method",
    "rpc.response.status_code",
    "rpc.service",
    "rpc.system",
    "rpc.system.name",
    "server.address",
    "server.port",
    "service.instance.id",
    "service.name",
    "service.namespace",
    "service.version",
    "session.id",
    "tag.tags",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
    "thread.id",
    "thread.name",
    "tool.description",
    "tool.name",
    "tool.parameters",
    "traceloop.association.properties.session_id",
    "traceloop.entity.input",
    "traceloop.entity.name",
    "traceloop.entity.output",
    "traceloop.entity.path",
    "traceloop.span.kind",
    "traceloop.workflow.name",
    "url.full",
    "url.path",
    "url.query",
    "url.scheme",
    "user_agent.original",
];

/// How much of both ends of a key goes into its hash.
const EDGE: usize = 8;

/// Several times as many slots as names, so that most are found (or missed) at the first look.
const SLOT_BITS: u32 = 10;
const N_SLOTS: usize = 1 << SLOT_BITS;

/// Open addressing: a name lies at its slot or in the run of filled slots after it.
static SLOTS: [&str; N_SLOTS] = fill();

/// The same text as `key`, if it is one of those that are always there.
#[inline]
pub(crate) fn known(key: &[u8]) -> Option<&'static str> {
    let mut slot = slot(key)?;
    while !SLOTS[slot].is_empty() {
        if SLOTS[slot].as_bytes() == key {
            return Some(SLOTS[slot]);
        }
        slot = (slot + 1) % N_SLOTS;
    }
    None
}

/// Where to look for a key first. The ends and the length tell nearly all names apart.
#[inline]
const fn slot(key: &[u8]) -> Option<usize> {
    let (Some(start), Some(end)) = (key.first_chunk::<EDGE>(), key.last_chunk::<EDGE>()) else {
        return None;
    };
    let (start, end) = (u64::from_le_bytes(*start), u64::from_le_bytes(*end));
    let mixed = (start.rotate_left(29) ^ end)
        .wrapping_add(key.len() as u64)
        .wrapping_mul(0x517c_c1b7_2722_0a95);
    Some((mixed >> (u64::BITS - SLOT_BITS)) as usize)
}

const fn fill() -> [&'static str; N_SLOTS] {
    let mut slots = [""; N_SLOTS];
    let mut n = 0;
    while n < NAMES.len() {
        let mut free =
            slot(NAMES[n].as_bytes()).expect("names have at least as many bytes as EDGE");
        while !slots[free].is_empty() {
            free = (free + 1) % N_SLOTS;
        }
        slots[free] = NAMES[n];
        n += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_nothing_else() {
        for name in NAMES {
            assert_eq!(known(name.as_bytes()), Some(*name));
            assert_eq!(known(&name.as_bytes()[1..]).filter(|found| found == name), None);
        }
        for other in ["", "id", "user.id", "gen_ai.request.modem", "GEN_AI.SYSTEM"] {
            assert_eq!(known(other.as_bytes()), None);
        }
    }

    #[test]
    fn names_are_found_near_their_slot() {
        let distance = |name: &&str| {
            let at = SLOTS.iter().position(|slot| slot == name).unwrap();
            at.wrapping_sub(slot(name.as_bytes()).unwrap()) % N_SLOTS
        };
        assert!(NAMES.iter().map(distance).max() <= Some(3));
    }
}
