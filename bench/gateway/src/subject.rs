//! What is measured: our gateway in several settings, the floor, nothing at all, and peers.

use std::env;
use std::fmt::{self, Write as _};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use spanwise_bench_gateway::mock::MockUpstream;
use spanwise_bench_gateway::sink::Sink;

use crate::Outcome;
use crate::load::Shot;
use crate::process::{self, Process};

const N_KEYS: usize = 10;

/// Limits that are checked and never reached.
const KEY_LIMITS: &str = "{requests_per_minute: 1e9, tokens_per_minute: 1e12, usd_per_day: 1e6}";

/// Who stands between the load and the mock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Nobody.
    Direct,
    /// A proxy that passes everything through.
    Floor,
    /// Our gateway, every call recorded.
    Traced,
    /// Our gateway, one call in a hundred recorded.
    OnePercent,
    /// Our gateway, no call recorded.
    Untraced,
    /// Our gateway, every call recorded, by a receiver that sometimes fails.
    Unreceived,
    /// Our gateway with ten virtual keys, limits and cost, every call recorded.
    Keys,
    /// `@portkey-ai/gateway` from npm.
    Portkey,
    /// `litellm[proxy]` from PyPI.
    LiteLlm,
}

impl Kind {
    /// In the order in which tables list them.
    pub const ALL: [Kind; 9] = [
        Kind::Direct,
        Kind::Floor,
        Kind::Traced,
        Kind::OnePercent,
        Kind::Untraced,
        Kind::Unreceived,
        Kind::Keys,
        Kind::Portkey,
        Kind::LiteLlm,
    ];

    /// How many spans each of its requests makes, if that is certain.
    pub fn spans_per_request(self) -> Option<u64> {
        match self {
            Kind::Traced | Kind::Keys => Some(3),
            Kind::Untraced => Some(0),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Direct => "direct",
            Kind::Floor => "floor",
            Kind::Traced => "spanwise, 100 %",
            Kind::OnePercent => "spanwise, 1 %",
            Kind::Untraced => "spanwise, 0 %",
            Kind::Unreceived => "spanwise, failing sink",
            Kind::Keys => "spanwise, 100 %, keys",
            Kind::Portkey => "portkey",
            Kind::LiteLlm => "litellm",
        })
    }
}

/// What the subjects are made of.
pub struct Workshop<'a> {
    /// The binary that is `spanwise gateway`.
    pub gateway: &'a Path,
    /// Where peers were installed.
    pub peers: &'a Path,
    /// For configurations and logs.
    pub folder: &'a Path,
    /// Where everything ends.
    pub mock: &'a MockUpstream,
}

/// One of them, running.
pub struct Subject {
    address: SocketAddr,
    /// Headers that its requests need.
    headers: String,
    process: Option<Process>,
    /// Where its spans go, and nobody else's: late ones are not taken for others'.
    pub sink: Sink,
}

impl Subject {
    /// Starts it, and waits until it listens.
    pub fn start(kind: Kind, workshop: &Workshop<'_>) -> Outcome<Self> {
        let Workshop { mock, folder, .. } = workshop;
        let sink = Sink::start_with(true)?;
        if kind == Kind::Direct {
            let address = mock.address();
            return Ok(Subject { address, headers: String::new(), process: None, sink });
        }
        let address = process::free_address()?;
        let (mut command, headers) = workshop.command(kind, address, &sink)?;
        let log = folder.join(format!("{kind:?}.log").to_lowercase());
        let mut process = Process::start(&mut command, &log)?;
        process
            .wait_for(address, Duration::from_secs(90))
            .map_err(|error| format!("{error}; see {}", log.display()))?;
        Ok(Subject { address, headers, process: Some(process), sink })
    }

    /// CPU time so far.
    pub fn cpu_time(&self) -> Outcome<Duration> {
        self.process.as_ref().map_or(Ok(Duration::ZERO), Process::cpu_time)
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> Outcome<u64> {
        self.process.as_ref().map_or(Ok(0), Process::resident)
    }

    /// A call of this model with a body of about this size.
    pub fn shot(&self, model: &str, body_bytes: usize, n_events: Option<usize>) -> Shot {
        let stream = if n_events.is_some() { r#""stream":true,"# } else { "" };
        let before = format!(
            r#"{{"model":"{model}",{stream}"temperature":0.7,"max_tokens":512,"messages":[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":""#
        );
        let after = r#""}]}"#;
        let filled = body_bytes.saturating_sub(before.len() + after.len());
        let text: String =
            "What did the fox measure, and how often? ".chars().cycle().take(filled).collect();
        let body = format!("{before}{text}{after}");
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             accept: */*\r\nuser-agent: spanwise-bench\r\n{}content-length: {}\r\n\r\n",
            self.address,
            self.headers,
            body.len()
        );
        Shot { address: self.address, request: Bytes::from(head + &body), n_events }
    }
}

impl Workshop<'_> {
    /// How a kind is started, and which headers its requests need.
    fn command(&self, kind: Kind, address: SocketAddr, sink: &Sink) -> Outcome<(Command, String)> {
        let bearer = "authorization: Bearer sk-bench\r\n".to_owned();
        match kind {
            Kind::Floor | Kind::Direct => {
                let mut command = Command::new(env::current_exe()?);
                command.arg("floor").args(["--listen", &address.to_string()]);
                command.args(["--upstream", &self.mock.address().to_string()]);
                Ok((command, bearer))
            }
            Kind::Traced | Kind::OnePercent | Kind::Untraced | Kind::Unreceived | Kind::Keys => {
                let config =
                    self.write(&format!("{kind:?}.yaml"), &self.config(kind, address, sink)?)?;
                let mut command = Command::new(self.gateway);
                command.arg("gateway").arg("--config").arg(config).env("MOCK_KEY", "sk-mock");
                let headers = match kind {
                    Kind::Keys => format!("authorization: Bearer {}\r\n", virtual_key(3)),
                    _ => bearer,
                };
                Ok((command, headers))
            }
            Kind::Portkey => self.portkey(address),
            Kind::LiteLlm => self.litellm(address).map(|command| (command, bearer)),
        }
    }

    /// The YAML file of our gateway.
    fn config(&self, kind: Kind, address: SocketAddr, sink: &Sink) -> Outcome<String> {
        let (mock, sink, port) = (self.mock.url(), sink.url(), address.port());
        let sampling = match kind {
            Kind::OnePercent => 1,
            Kind::Untraced => 0,
            _ => 100,
        };
        let mut config = format!(
            "listeners: [{{name: models, type: model, address: 127.0.0.1, port: {port}}}]\n\
             model_providers:\n  \
             - {{model: 'openai/*', access_key: $MOCK_KEY, base_url: '{mock}/v1'}}\n  \
             - {{model: anthropic/bench, access_key: $MOCK_KEY, base_url: '{mock}/v1'}}\n\
             tracing: {{random_sampling: {sampling}, exporters: [{{kind: otlp, endpoint: '{sink}'}}]}}\n\
             workers: 1\n"
        );
        if kind == Kind::Keys {
            let mut keys = String::from("keys:\n");
            for number in 0..N_KEYS {
                write!(keys, "- {{id: key-{number}, hash: 'sha256:")?;
                for byte in Sha256::digest(virtual_key(number)) {
                    write!(keys, "{byte:02x}")?;
                }
                keys.push_str("', limits: ");
                keys.push_str(KEY_LIMITS);
                keys.push_str("}\n");
            }
            let file = self.write("virtual-keys.yaml", &keys)?;
            writeln!(config, "keys: {{file: '{}'}}", file.display())?;
        }
        Ok(config)
    }

    fn portkey(&self, address: SocketAddr) -> Outcome<(Command, String)> {
        let script = installed(
            self.peers.join("portkey/node_modules/@portkey-ai/gateway/build/start-server.js"),
        )?;
        let mut command = Command::new("node");
        command.arg(script).arg(format!("--port={}", address.port())).arg("--headless");
        command.env("NODE_ENV", "production").env("TRUSTED_CUSTOM_HOSTS", "127.0.0.1,localhost");
        let headers = format!(
            "authorization: Bearer sk-bench\r\nx-portkey-provider: openai\r\n\
             x-portkey-custom-host: {}/v1\r\n",
            self.mock.url()
        );
        Ok((command, headers))
    }

    fn litellm(&self, address: SocketAddr) -> Outcome<Command> {
        let program = installed(self.peers.join("litellm/bin/litellm"))?;
        let mock = self.mock.url();
        let config = format!(
            "model_list:\n  - model_name: gpt-4o\n    litellm_params: {{model: openai/gpt-4o, \
             api_base: '{mock}/v1', api_key: sk-mock}}\nlitellm_settings: {{telemetry: false}}\n"
        );
        let mut command = Command::new(program);
        command.arg("--config").arg(self.write("litellm.yaml", &config)?);
        command.args(["--host", "127.0.0.1", "--num_workers", "1", "--telemetry", "False"]);
        command.args(["--port", &address.port().to_string()]);
        // It does not start without a key for its administrator otherwise; nobody administers it.
        command.env("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true");
        // Its map of prices is fetched from the network otherwise.
        command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("LITELLM_LOG", "ERROR");
        Ok(command)
    }

    fn write(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        let path = self.folder.join(name.to_lowercase());
        fs::write(&path, text)?;
        Ok(path)
    }
}

fn virtual_key(number: usize) -> String {
    format!("sk-spanwise-bench-{number}")
}

fn installed(path: PathBuf) -> Outcome<PathBuf> {
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("not installed at {}", path.display()).into())
    }
}
