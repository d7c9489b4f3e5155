//! The rules of this repository that the compiler does not check: which module imports which, where clocks and `unsafe`
//! are allowed, and so on.
//!
//! *Owns* the proof that every rule can fail; the rules stand by subject in `tidy_support`, which reads the tree. *Promises* that a
//! breach names its file and line. *Does not* parse Rust: it looks at code with comments and strings blanked, which is enough for
//! rules this plain. What types can say, clippy's lists in `shards/*/clippy.toml` say.

#![allow(clippy::case_sensitive_file_extension_comparisons, reason = "our own files end in lower case")]

mod tidy_support;

use std::collections::BTreeSet;
use tidy_support::actions::{untested_actions, unwatched_matches};
use tidy_support::leavings::{
    FILE_LINES_MAX, dead_files, fixed_sleeps, long_files, reminders, undocumented_limits, unwraps,
};
use tidy_support::walls::{
    random_maps, stray_clocks, stray_connectors, stray_log_lines, stray_methods, stray_runtimes, stray_unsafe,
    unargued_unsafe, unlisted_arrows, unlisted_imports,
};
use tidy_support::{Modules, Source, assert_none, find, keys, names, tree};

#[test]
fn every_dependency_has_its_reason_in_the_documentation() {
    let files = tree();
    let reasons = find(&files, "docs/dependencies.md");
    let row = |name: &str| reasons.lines.iter().any(|line| line.text.contains('|') && names(&line.text, name));
    let silent: Vec<String> = keys(find(&files, "Cargo.toml"), "workspace.dependencies")
        .into_iter()
        .filter(|name| !name.starts_with("deepstream-") && !row(name))
        .collect();
    assert_none("dependencies without a row in docs/dependencies.md", &silent);
}

/// The rules themselves can fail: one breach each, planted.
#[test]
fn planted_breaches_are_found() {
    type Rule = fn(&[Source]) -> Vec<String>;
    let planted: &[(Rule, &str, &str)] = &[
        (unlisted_imports, "shards/engine/Cargo.toml", "[dependencies]\ndeepstream-mesh.workspace = true"),
        (unlisted_imports, "perf/Cargo.toml", "[dev-dependencies]\ndeepstream-engine = \"1\""),
        (unlisted_imports, "Cargo.toml", "[target.'cfg(loom)'.dependencies]\ndeepstream-sim = \"1\""),
        (unlisted_arrows, "shards/engine/src/edge/subscribers.rs", "use crate::{ident::Place, owner::{names}};"),
        (unlisted_arrows, "shards/engine/src/edge/route.rs", "use crate::owner::Owner;"),
        (unlisted_arrows, "shards/engine/src/owner/event.rs", "use crate::edge::session::table::Session;"),
        (unlisted_arrows, "shards/engine/src/permit/judge.rs", "use crate::owner::Owner;"),
        (unlisted_arrows, "shards/engine/src/owner/event.rs", "use crate::shard::Shard;"),
        (unlisted_arrows, "shards/engine/src/edge/mod.rs", "mod route;\nuse route::Besides;"),
        (unlisted_arrows, "shards/engine/src/edge/session/table.rs", "fn f() { super::super::super::pull::g(); }"),
        (
            unlisted_arrows,
            "shards/engine/src/ident.rs",
            "use crate::Limits;\n#[cfg(test)]\nmod tests {\n    use crate::pull;\n}",
        ),
        (unlisted_arrows, "src/config/walk.rs", "use crate::host::Server;"),
        (unlisted_arrows, "src/log.rs", "use super::config::Config;"),
        (unlisted_arrows, "src/auth/logins.rs", "fn f() { super::super::host::start() }"),
        (unlisted_arrows, "src/auth/combine.rs", "use crate::config::FileAuth;"),
        (unlisted_arrows, "src/host/connections/end.rs", "use crate::host::request::Requests;"),
        (unlisted_arrows, "src/kitchen.rs", "use crate::log::note;"),
        (unlisted_arrows, "src/host/stores.rs", "use super::core::Core;"),
        (unlisted_arrows, "src/host/ring/heap.rs", "pub(in crate::host) fn f() { crate::host::peers::g() }"),
        (stray_unsafe, "src/log.rs", "fn f() { unsafe { g() } }"),
        (unargued_unsafe, "src/host/ring.rs", "// because\nunsafe { g() }"),
        (stray_runtimes, "src/endpoint/http.rs", "use glommio::net::TcpStream;"),
        (stray_runtimes, "src/host/core.rs", "use tokio::net;"),
        (stray_runtimes, "src/auth/logins.rs", "let thread = std::thread::Builder::new();"),
        (stray_connectors, "src/host/services.rs", "use crate::config::{Embedded, postgres};"),
        (stray_methods, "src/host/descriptors.rs", "use crate::config::HttpAuth;"),
        (stray_clocks, "src/host/core.rs", "let now = Instant::now();"),
        (stray_log_lines, "src/storage/service.rs", "tracing::error!(\"a thread has ended\");"),
        (stray_log_lines, "src/host/core.rs", "use tracing::warn;"),
        (
            stray_log_lines,
            "src/auth/logins.rs",
            "eprintln!(\"no\");\n#[cfg(test)]\nmod tests { fn f() { println!(); } }",
        ),
        (random_maps, "shards/wire/src/link.rs", "let map = HashMap::new();"),
        (unwraps, "src/main.rs", "let x = y().unwrap();\n#[cfg(test)]\nmod tests { fn f() { y().unwrap(); } }"),
        (unwraps, "src/main.rs", "#[cfg(test)]\nmod tests;\nlet x = y().unwrap();"),
        (reminders, "src/main.rs", concat!("// TO", "DO: later")),
        (reminders, "README.md", concat!("FIX", "ME")),
        (reminders, "tests/x.rs", "#[test]\n#[ignore = \"slow\"]"),
        (dead_files, "src/forgotten.rs", ""),
        (fixed_sleeps, "tests/x.rs", "fn f() { thread::sleep(SECOND); }"),
        (fixed_sleeps, "tests/client/x.test.mjs", "await new Promise((done) => setTimeout(done, 500))"),
        (untested_actions, "shards/engine/src/owner/event.rs", "Action::EventEmit => {}"),
        (
            unwatched_matches,
            "shards/wire/src/text/write.rs",
            "match action {\n    Action::EventEmit => f(),\n    _ => {}\n}",
        ),
        (unwatched_matches, "shards/wire/src/jif/read.rs", "#[expect(clippy::wildcard_enum_match_arm)]"),
        (unwatched_matches, "shards/engine/src/owner/deed.rs", "matches!(\n    action,\n    Action::RecordRead\n)"),
    ];
    for (rule, path, text) in planted {
        let found = rule(&[Source::new(path, text)]);
        assert_eq!(found.len(), 1, "{path}: {text}\n{found:?}");
    }
    let rows: &[(&str, &[&str])] = &[("a", &["b"]), ("b", &["c"]), ("c", &["b"])];
    let table = Modules { folder: "src", shared: &[], in_circles: 0, rows };
    assert_eq!(table.circles(), BTreeSet::from(["b", "c"]));
    let room: &[(&str, &[&str])] =
        &[("a", &["a/b", "a/c", "a/d"]), ("a/b", &["a"]), ("a/c", &["a/d"]), ("a/d", &["a/c"])];
    let circles = |shared| Modules { folder: "src", shared, in_circles: 0, rows: room }.circles();
    assert_eq!(circles(&[]), BTreeSet::from(["a", "a/b", "a/c", "a/d"]));
    assert_eq!(circles(&["a"]), BTreeSet::from(["a/c", "a/d"]), "a struct in common is no circle, all others are");
    assert_eq!(table.unused(&[Source::new("src/b/mod.rs", "use crate::c;"), Source::new("src/c.rs", "")]).len(), 2);
    let answered = || Source::new("shards/engine/src/owner/event.rs", "Action::EventEmit => {}");
    for (path, text, untested) in [
        ("tests/x.rs", "// Action::EventEmit\n/* EVENT.EMIT */", 1),
        ("tests/client/x.test.mjs", "// EVENT.EMIT\n/** EVENT.EMIT\n * EVENT.EMIT */\nf() // EVENT.EMIT", 1),
        ("tests/x.rs", "f(\"EVENT.EMIT\"); // said", 0),
        ("tests/client/x.test.mjs", "f('ws://x', EVENT.EMIT) // said", 0),
    ] {
        assert_eq!(untested_actions(&[answered(), Source::new(path, text)]).len(), untested, "{text}");
    }
    let long = "\n".repeat(FILE_LINES_MAX);
    assert_eq!(long_files(&[Source::new("src/main.rs", &long)]).len(), 1);
    let bare = Source::new("limits.rs", "pub struct Limits {\n    /// One.\n    pub a: usize,\n    pub b: usize,\n}");
    assert_eq!(undocumented_limits(&bare).len(), 1);
}

#[test]
fn words_in_comments_and_strings_are_not_code() {
    let text = "// unsafe\nlet a = \"unsafe \\\" unsafe\"; /* unsafe /* x */ unsafe */ let b = r#\"unsafe \" unsafe\"#;\nlet c = ('\"', '\\'', b'\"');\nfn f<'a>(x: &'a str) {} // unsafe";
    assert_none("code", &stray_unsafe(&[Source::new("src/log.rs", text)]));
    let hidden = Source::new("src/log.rs", "let c = '\"'; unsafe {} // \"");
    assert_eq!(stray_unsafe(&[hidden]).len(), 1, "a quote in a character opens no string");
}
