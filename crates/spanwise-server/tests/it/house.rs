//! The arrows between crates are the ones that ARCHITECTURE.md draws, and no others.

use std::collections::BTreeSet;
use std::process::Command;

/// Who may use whom. A new arrow is a decision: draw it in ARCHITECTURE.md too.
const ARROWS: &[(&str, &str)] = &[
    ("spanwise", "spanwise-macros"),
    ("spanwise", "spanwise-model"),
    ("spanwise-python", "spanwise"),
    ("spanwise-python", "spanwise-model"),
    ("spanwise-pipeline", "spanwise-model"),
    ("spanwise-store", "spanwise-model"),
    ("spanwise-gateway", "spanwise"),
    ("spanwise-gateway", "spanwise-model"),
    ("spanwise-server", "spanwise"),
    ("spanwise-server", "spanwise-gateway"),
    ("spanwise-server", "spanwise-model"),
    ("spanwise-server", "spanwise-pipeline"),
    ("spanwise-server", "spanwise-store"),
    ("spanwise-bench", "spanwise-model"),
    ("spanwise-bench-gateway", "spanwise-model"),
];

/// Crates that must stay pure: no I/O, no async, no clock, no logging.
const PURE: &[&str] = &["spanwise-model", "spanwise-pipeline"];

#[test]
fn crates_depend_on_each_other_as_drawn() {
    let drawn: BTreeSet<_> =
        ARROWS.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    let found: BTreeSet<_> = normal_dependencies()
        .into_iter()
        .filter(|(from, to)| from.starts_with("spanwise") && to.starts_with("spanwise"))
        .collect();
    assert_eq!(found, drawn);
}

#[test]
fn pure_crates_have_no_means_to_do_io_or_log() {
    for (from, to) in normal_dependencies() {
        let impure = ["tokio", "hyper", "axum", "tonic", "tracing", "log", "rustix", "ureq"];
        assert!(!(PURE.contains(&from.as_str()) && impure.contains(&to.as_str())), "{from} → {to}");
    }
}

#[test]
fn pure_crates_read_no_clock_and_touch_no_file() {
    for name in PURE {
        let src = format!("{}/../{name}/src", env!("CARGO_MANIFEST_DIR"));
        for path in rust_files(src.as_ref()) {
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests may read fixtures.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            if path.components().any(|part| part.as_os_str() == "tests")
                || path.file_name().is_some_and(|name| name == "tests.rs")
            {
                continue;
            }
            for word in ["SystemTime", "Instant::now", "std::fs", "std::net", "std::thread"] {
                assert!(!code.contains(word), "{word} in {}", path.display());
            }
        }
    }
}

/// (crate, dependency) for every workspace member, without dev- and build-dependencies.
fn normal_dependencies() -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut arrows = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        for dependency in package["dependencies"].as_array().unwrap() {
            if dependency["kind"].is_null() {
                let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
                arrows.push((name(package), name(dependency)));
            }
        }
    }
    assert!(!arrows.is_empty());
    arrows
}

fn rust_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
