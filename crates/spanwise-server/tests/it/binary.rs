//! The real binary: what it prints, how it ends, its commands.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn spanwise() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanwise"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SPANWISE_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn serve(data_dir: &Path) -> Command {
    let mut command = spanwise();
    command.args(["serve", "--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"]);
    command.args(["--otlp-http", "127.0.0.1:0", "--data-dir"]).arg(data_dir);
    command
}

/// A process that is ended with the test.
struct Running {
    child: Child,
    greeting: Vec<String>,
}

impl Running {
    /// Starts a server and waits until it is ready.
    fn start(mut command: Command) -> Running {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut greeting = Vec::new();
        while greeting.last().is_none_or(|line| line != "ready") {
            match lines.next() {
                Some(line) => greeting.push(line.unwrap()),
                None => panic!("ended before it was ready: {:?}", child.wait_with_output()),
            }
        }
        Running { child, greeting }
    }

    fn address(&self, what: &str) -> String {
        let head = format!("listening {what} http://");
        let line = self.greeting.iter().find_map(|line| line.strip_prefix(&head));
        line.unwrap_or_else(|| panic!("no {what} in {:?}", self.greeting)).to_owned()
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn fails(mut command: Command, code: i32) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

/// The one line (besides log lines) that says what is wrong.
fn complaint(stderr: &str) -> &str {
    let lines: Vec<_> = stderr.lines().filter(|line| line.starts_with("spanwise: ")).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    lines[0]
}

#[test]
fn it_says_where_it_listens_and_stops_on_a_signal() {
    for signal in ["-TERM", "-INT"] {
        let dir = tempfile::tempdir().unwrap();
        let mut running = Running::start(serve(dir.path()));
        assert_eq!(running.greeting.len(), 4, "{:?}", running.greeting);
        for what in ["ui", "otlp-grpc", "otlp-http"] {
            assert!(running.address(what).starts_with("127.0.0.1:"), "{what}");
        }
        let stopping = Instant::now();
        running.signal(signal);
        let status = running.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{signal}");
        assert!(stopping.elapsed() < Duration::from_secs(10));
        let mut stderr = String::new();
        running.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn an_open_connection_does_not_keep_it_from_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Running::start(serve(dir.path()));
    let _idle = std::net::TcpStream::connect(running.address("ui")).unwrap();
    running.signal("-TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

#[test]
fn wrong_usage_and_configuration_end_with_64() {
    let dir = tempfile::tempdir().unwrap();
    let with = |args: &[&str]| {
        let mut command = spanwise();
        command.args(args).current_dir(dir.path());
        command
    };
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    assert!(fails(with(&["--no-such-flag"]), 64).contains("no-such-flag"));
    assert!(fails(with(&["fly"]), 64).contains("fly"));
    fails(with(&["serve", "--auth", "maybe"]), 64);
    let unknown = file("unknown.yaml", "data_dir: x\ncolour: blue\n");
    for command in ["serve", "check"] {
        let stderr = fails(with(&[command, "--config", &unknown]), 64);
        assert!(complaint(&stderr).contains("colour"), "{stderr}");
    }
    let missing = fails(with(&["check", "--config", "missing.yaml"]), 64);
    assert!(complaint(&missing).contains("missing.yaml"));
    let stderr = fails(with(&["serve", "--listen", "nowhere"]), 64);
    assert!(complaint(&stderr).contains("nowhere"), "{stderr}");
    let stderr = fails(with(&["serve", "--log", "a=b=c"]), 64);
    assert!(complaint(&stderr).contains("log"), "{stderr}");
}

#[test]
fn check_explains_and_the_environment_wins_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spanwise.yaml");
    std::fs::write(&path, "listen: 127.0.0.1:1\notlp_http: 127.0.0.1:2\nauth: required\n").unwrap();
    let mut command = spanwise();
    command.arg("check").env("SPANWISE_CONFIG", &path).env("SPANWISE_LISTEN", "127.0.0.1:3");
    let explained = succeeds(command);
    assert!(explained.contains("listen: 127.0.0.1:3"), "{explained}");
    assert!(explained.contains("otlp_http: 127.0.0.1:2"), "{explained}");
    assert!(explained.contains("auth: required"), "{explained}");
    let mut command = spanwise();
    command.args(["check", "--listen", "127.0.0.1:4", "--config"]).arg(&path);
    command.env("SPANWISE_LISTEN", "127.0.0.1:3").env("SPANWISE_NO_UI", "1");
    let explained = succeeds(command);
    assert!(explained.contains("listen: 127.0.0.1:4"), "{explained}");
    assert!(explained.contains("ui: off"), "{explained}");
}

fn succeeds(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn what_cannot_be_used_ends_with_74() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(serve(dir.path()));

    let taken = running.address("otlp-http");
    let other = tempfile::tempdir().unwrap();
    let mut command = spanwise();
    command.args(["serve", "--listen", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"]);
    command.args(["--otlp-http", &taken, "--data-dir"]).arg(other.path());
    let stderr = fails(command, 74);
    assert!(complaint(&stderr).contains(&taken), "{stderr}");

    let stderr = fails(serve(dir.path()), 74);
    assert!(complaint(&stderr).contains("in use"), "{stderr}");

    let file = dir.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    complaint(&fails(serve(&file), 74));
}

#[test]
fn a_read_only_folder_ends_with_74() {
    let dir = tempfile::tempdir().unwrap();
    let locked = dir.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(locked.join("probe"), "").is_ok() {
        println!("permissions do not bind this user; nothing to see");
        return;
    }
    complaint(&fails(serve(&locked.join("data")), 74));
    complaint(&fails(serve(&locked), 74));
}

#[test]
fn listening_beyond_loopback_without_authentication_is_warned_about() {
    for (auth, warned) in [("off", true), ("required", false)] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = spanwise();
        command.args(["serve", "--listen", "0.0.0.0:0", "--otlp-grpc", "off"]);
        command.args(["--otlp-http", "off", "--auth", auth, "--data-dir"]).arg(dir.path());
        let mut running = Running::start(command);
        running.signal("-TERM");
        running.child.wait().unwrap();
        let mut stderr = String::new();
        running.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(stderr.contains("without authentication"), warned, "{stderr}");
    }
}

#[test]
fn keys_are_made_listed_and_revoked_while_the_server_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = serve(dir.path());
    command.args(["--auth", "required"]);
    let running = Running::start(command);
    let keys = |args: &[&str]| {
        let mut command = spanwise();
        command.arg("keys").args(args).arg("--data-dir").arg(dir.path());
        command
    };
    let key = succeeds(keys(&["create", "--name", "ci", "--scope", "read"])).trim().to_owned();
    assert_eq!(status_of(&running, &key), "200");
    assert_eq!(status_of(&running, "sw-wrong"), "401");
    let list = succeeds(keys(&["list"]));
    assert!(list.contains("ci") && list.contains("read") && !list.contains(&key), "{list}");
    let json: serde_json::Value =
        serde_json::from_str(&succeeds(keys(&["list", "--json"]))).unwrap();
    succeeds(keys(&["revoke", json[0]["id"].as_str().unwrap()]));
    assert_eq!(status_of(&running, &key), "401");
    assert!(complaint(&fails(keys(&["revoke", "nothing"]), 64)).contains("nothing"));
    complaint(&fails(keys(&["create", "--project", "a/b"]), 64));
}

fn status_of(running: &Running, key: &str) -> String {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(running.address("ui")).unwrap();
    write!(
        stream,
        "GET /api/v1/traces HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-api-key: {key}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}
