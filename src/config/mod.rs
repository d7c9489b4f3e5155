//! The configuration: finds the file, reads and checks it, and turns it into typed settings.
//!
//! *Owns* everything between the command line and [`Config`]. *Promises* that every key of the file has its effect, is
//! listed as having no meaning here, or is refused with file, line and a sentence; that all errors are reported
//! together; and that flags win over the file. *Does not* exit, log or open anything but configuration files.

mod arguments;
mod auth;
mod default;
#[cfg(feature = "embedded")]
mod embedded;
mod error;
mod find;
mod logger;
mod mark;
mod memory;
mod mqtt;
pub(crate) mod node;
pub(crate) mod permissions;
mod placement;
#[cfg(feature = "postgres")]
mod postgres;
mod protect;
mod protocol;
#[cfg(feature = "redis")]
mod redis;
mod storage;
mod table;
mod text;
mod topology;
mod types;
mod walk;
mod web;

pub use crate::auth::AuthMethod;
pub use arguments::StartArguments;
#[cfg(test)]
pub(crate) use auth::ToyAuth;
pub use auth::{Claims, FileAuth, HttpAuth, ITERATIONS_MAX, JwtAuth, KEY_LENGTH_MAX, StorageAuth, User};
pub use deepstream_cpulist::{format as format_cpulist, parse as parse_cpulist};
#[cfg(feature = "embedded")]
pub use embedded::{Durability, Embedded};
pub(crate) use error::unreadable;
pub use error::{ConfigError, ConfigErrors, EXIT_CODE};
pub use mqtt::MqttEndpoint;
pub use permissions::{Permission, Rules};
pub use placement::{Misplaced, Placement, SHARDS_MAX, ShardPlacement, resolve};
#[cfg(feature = "postgres")]
pub use postgres::{Postgres, PostgresNotifications};
pub use protect::{ListenerKind, REFUSAL};
#[cfg(feature = "redis")]
pub use redis::Redis;
pub use storage::Storage;
pub(crate) use table::NESTING_MAX;
pub use topology::{Cpu, Topology};
pub use types::{
    ClientTls, Config, Cores, CpuChoice, Features, Http, LatencyProfile, Limits, Pem, Protocol, Record, Rpc, Tls,
    WebSocketEndpoint,
};
pub use web::HttpEndpoint;

use crate::credentials::PasswordHash;
use crate::log::{Colors, Level, note};
use deepstream_cpulist as cpulist;
use node::{Node, Step};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use walk::Complaint;

/// A configuration ready to start with.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the server does.
    pub config: Config,
    /// The file it came from; `None`: there is none, and the defaults are in force.
    pub file: Option<PathBuf>,
    /// What `fileLoad` brought in, as sentences for the log.
    pub loaded: Vec<String>,
    /// Environment variables that the file names but that are not set, each with its line.
    pub unset: Vec<(usize, String)>,
    /// Keys and flags accepted without meaning, each with the reason.
    pub accepted: Vec<(String, String)>,
}

impl Loaded {
    /// Logs where the configuration came from and what of it has no meaning here.
    pub fn announce(&self) {
        for sentence in &self.loaded {
            note(Level::Info, "CONFIG_TRANSFORM", sentence);
        }
        match &self.file {
            Some(file) => note(Level::Info, "INFO", &format!("configuration file loaded from {}", file.display())),
            None => note(Level::Warn, "CONFIG_DEFAULTS", &self.without_file()),
        }
        for (line, name) in &self.unset {
            let file = self.file.as_deref().unwrap_or(Path::new("")).display();
            let sentence = format!("{file}:{line}: the environment variable {name} is not set and counts as empty");
            note(Level::Warn, "CONFIG_TRANSFORM", &sentence);
        }
        if self.config.listen.rematch_interval.is_none() {
            let sentence = "Setting listen.rematchInterval to less than a second is not permitted. \
                            Names without provider are not tried again";
            note(Level::Warn, "INVALID_CONFIG_DATA", sentence);
        }
        for warning in self.config.permission.warnings() {
            note(Level::Warn, "PERMISSION", warning);
        }
        if !self.accepted.is_empty() {
            let list: Vec<String> = self.accepted.iter().map(|(path, why)| format!("{path} ({why})")).collect();
            note(Level::Info, "CONFIG_ACCEPTED", &format!("accepted without meaning: {}", list.join(", ")));
        }
    }

    /// What is logged if there is no configuration file.
    fn without_file(&self) -> String {
        let records = match self.config.storage.kept().and_then(|kept| kept.directory()) {
            Some(directory) => format!("records are kept in {}", directory.display()),
            None => "records are kept in memory only".to_owned(),
        };
        let (host, port) = (&self.config.http.host, self.config.http.port);
        let others =
            if self.config.allows_remote(ListenerKind::Web) { "" } else { " from this machine, others are refused" };
        format!(
            "there is no configuration file, so the built-in defaults are in force: port {port} of {host}, {records}, \
             everybody may log in and do everything{others}; start with -c FILE, or in a directory that has conf/config.yml"
        )
    }

    /// Where threads run on this machine.
    pub fn place(&self, topology: &Topology) -> Result<Placement, ConfigError> {
        resolve(topology, &self.config.cores).map_err(|fault| {
            let steps = [Step::Key("cores".to_owned()), Step::Key(fault.key.to_owned())];
            ConfigError {
                line: self.line_of(&steps),
                path: node::path_text(&steps),
                ..ConfigError::of_file(self.file.as_deref().unwrap_or(Path::new("")), fault.what, fault.hint)
            }
        })
    }

    /// The line of a key, if the file still says what it said.
    fn line_of(&self, steps: &[Step]) -> Option<usize> {
        let file = self.file.as_deref()?;
        let text = std::fs::read_to_string(file).ok()?;
        let (prepared, _) = text::prepare(file, &text, &|name| std::env::var(name).ok()).ok()?;
        prepared.source.line(steps)
    }
}

/// The configuration file that is meant, if there is one, and its text.
fn find_text(arguments: &StartArguments) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let variable = std::env::var_os(find::VARIABLE).map(PathBuf::from);
    let program = std::env::current_exe().unwrap_or_default();
    let Some(file) = find::find(arguments.config.as_deref(), variable.as_deref(), &program)? else { return Ok(None) };
    let text = std::fs::read_to_string(&file).map_err(|fault| ConfigError::of_file(&file, unreadable(&fault), ""))?;
    Ok(Some((file, text)))
}

/// Finds, reads and checks the configuration. Where nobody names a file and there is none, the defaults are in force: those of
/// an empty file in the directory of the start.
pub fn load(arguments: &StartArguments) -> Result<Loaded, ConfigErrors> {
    let environment = |name: &str| std::env::var(name).ok();
    match find_text(arguments)? {
        Some((file, text)) => read(&file, &text, arguments, &environment),
        None => Ok(Loaded { file: None, ..read(Path::new("config.yml"), "", arguments, &environment)? }),
    }
}

/// How the configuration has passwords hashed, whatever else is wrong with it. `None` if it does not say.
pub fn hashing(arguments: &StartArguments) -> Result<Option<PasswordHash>, ConfigErrors> {
    let Some((file, text)) = find_text(arguments)? else { return Ok(None) };
    check_extension(&file)?;
    let text = text.trim_start_matches('\u{feff}');
    let root = text::prepare_alone(&file, text, &|name| std::env::var(name).ok())?;
    auth::hashing(&root).map_err(|what| ConfigError::of_file(&file, what, "").into())
}

/// Checks the text of a configuration file.
fn read(
    file: &Path,
    text: &str,
    arguments: &StartArguments,
    environment: text::Environment<'_>,
) -> Result<Loaded, ConfigErrors> {
    check_extension(file)?;
    let (mut prepared, mut root) = text::prepare(file, text.trim_start_matches('\u{feff}'), environment)?;
    without_overridden(&mut root, arguments);
    load_users(&mut root, file, &mut prepared, environment)?;
    permissions::load_path(&mut root, file, &mut prepared, environment)?;
    // The entries of the file are added to this list; if there are none, `settle` restores the default.
    let mut config = Config { auth: Vec::new(), ..Config::default() };
    if arguments.memory {
        config.storage = Storage::Memory;
    }
    // If endpoints are listed, no others are served.
    if root.get("connectionEndpoints").is_some() {
        config.endpoints.clear();
        config.http_endpoint = None;
    }
    let mut findings = walk::apply(&root, &mut config);
    findings.complaints.extend(settle(&root, file, arguments, &mut config));
    let mut errors = std::mem::take(&mut prepared.faults);
    errors.extend(permissions::settle(&root, file, &prepared, &mut config));
    if !findings.complaints.is_empty() || !errors.is_empty() {
        let complaints = findings.complaints.into_iter().map(|complaint| located(complaint, &root, file, &prepared));
        let mut errors: Vec<ConfigError> = complaints.chain(errors).collect();
        errors.sort_by_key(|error| error.line);
        return Err(ConfigErrors(errors));
    }
    let accepted =
        findings.accepted.into_iter().map(|(steps, why)| (prepared.source.path_text(&steps), why.to_owned()));
    let mut accepted: Vec<_> = accepted.collect();
    match protect::from_environment(environment(protect::VARIABLE).as_deref()) {
        Ok(said) => config.http.protected_mode = said.unwrap_or(config.http.protected_mode),
        Err(what) => {
            return Err(ConfigError::of_file(file, what, "correct it, or take it out of the environment").into());
        }
    }
    override_with(&mut config, arguments, &mut accepted);
    if config.server_name.is_empty() {
        config.server_name = generated_name();
    }
    let loaded = prepared.loads.into_iter().map(|load| load.sentence).collect();
    Ok(Loaded { config, file: Some(text::absolute(file)), loaded, unset: prepared.unset, accepted })
}

fn check_extension(file: &Path) -> Result<(), ConfigError> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("yml" | "yaml" | "json") => Ok(()),
        Some("js") => Err(ConfigError::of_file(
            file,
            "configuration in JavaScript cannot be run by this server",
            "write what it exports as YAML or JSON",
        )),
        other => Err(ConfigError::of_file(
            file,
            format!(".{} is not supported as configuration file", other.unwrap_or_default()),
            "use .yml, .yaml or .json",
        )),
    }
}

/// Release 3 named the file of the users as `path`, in place of the users.
fn load_users(
    root: &mut Node,
    file: &Path,
    prepared: &mut text::Prepared,
    environment: text::Environment<'_>,
) -> Result<(), ConfigError> {
    let Node::Map(sections) = root else { return Ok(()) };
    let Some((_, auth)) = sections.iter_mut().find(|(key, _)| key == "auth") else { return Ok(()) };
    let (entries, listed) = match auth {
        Node::List(items) => (items.as_mut_slice(), true),
        entry => (std::slice::from_mut(entry), false),
    };
    for (index, entry) in entries.iter_mut().enumerate() {
        let is_file = entry.get("type").and_then(Node::text).as_deref() == Some("file");
        let Node::Map(keys) = entry else { continue };
        let Some((_, Node::Map(options))) = keys.iter_mut().find(|(key, _)| key == "options") else { continue };
        let named = options.iter().position(|(key, value)| key == "path" && value.text().is_some());
        let Some(at) = named.filter(|_| is_file && !options.iter().any(|(key, _)| key == "users")) else { continue };
        let (_, path) = options.remove(at);
        let path = path.text().unwrap_or_default();
        let mut steps = vec![Step::Key("auth".to_owned())];
        steps.extend(listed.then_some(Step::Index(index)));
        steps.extend(["options", "path"].map(|key| Step::Key(key.to_owned())));
        let line = prepared.source.line(&steps).unwrap_or(1);
        options.push(("users".to_owned(), prepared.load(file, &path, line, environment)?));
    }
    Ok(())
}

/// Adds file and line to a complaint.
fn located(complaint: Complaint, root: &Node, file: &Path, prepared: &text::Prepared) -> ConfigError {
    let Complaint { steps, what, hint } = complaint;
    let what = without_values(what, root, node_at(root, &steps));
    if let Some((load, steps)) = within_load(&steps, root, &prepared.loads) {
        let place = load.source.place(steps);
        return ConfigError {
            line: place.map(|(line, _)| line),
            column: place.and_then(|(_, column)| u32::try_from(column).ok()),
            path: load.source.path_text(steps),
            ..ConfigError::of_file(&load.path, what, hint)
        };
    }
    let line = prepared.source.line(&steps);
    let mut unset: Vec<&str> =
        prepared.unset.iter().filter(|(at, _)| Some(*at) == line).map(|(_, name)| name.as_str()).collect();
    unset.sort_unstable();
    unset.dedup();
    let hint = match &unset[..] {
        [] => hint,
        [name] => format!("the environment variable {name} is not set"),
        names => format!("the environment variables {} are not set", names.join(", ")),
    };
    ConfigError {
        line: Some(line.unwrap_or(1)),
        path: prepared.source.path_text(&steps),
        ..ConfigError::of_file(file, what, hint)
    }
}

/// Removes the values of environment variables from a message: they may be secrets that its readers must not see.
/// Values elsewhere than at the place itself are only recognised in quotes.
fn without_values(mut what: String, root: &Node, place: &Node) -> String {
    // Shorter values are no secrets, and would be found as a part of other words.
    const HIDDEN_BYTES_MIN: usize = 3;
    let variables = |spelled: &node::Spelled| format!("${{{}}}", spelled.variables.join("}${"));
    for spelled in root.given() {
        what = what.replace(&format!("{:?}", spelled.text), &format!("\"{}\"", variables(spelled)));
    }
    for spelled in place.given().into_iter().filter(|spelled| spelled.text.len() >= HIDDEN_BYTES_MIN) {
        what = what.replace(&spelled.text, &variables(spelled));
    }
    what
}

/// The node at a place of the tree, or the nearest one around it.
fn node_at<'n>(root: &'n Node, steps: &[Step]) -> &'n Node {
    let mut node = root;
    for step in steps {
        let next = match (step, node) {
            (Step::Key(key), node) => node.get(key),
            (Step::Index(index), Node::List(items)) => items.get(*index),
            (Step::Index(_), _) => None,
        };
        match next {
            Some(next) => node = next,
            None => return node,
        }
    }
    node
}

/// The loaded file that a place of the tree came from, and the way to it from the top of that file.
fn within_load<'a>(steps: &'a [Step], root: &Node, loads: &'a [text::Load]) -> Option<(&'a text::Load, &'a [Step])> {
    let mut node = root;
    for (depth, step) in steps.iter().enumerate() {
        if let Node::Map(_) = node {
            let json = node::to_json(node);
            if let Some(load) = loads.iter().find(|load| load.json == json) {
                return Some((load, &steps[depth..]));
            }
        }
        node = match (step, node) {
            (Step::Key(key), node) => node.get(key)?,
            (Step::Index(index), Node::List(items)) => items.get(*index)?,
            (Step::Index(_), _) => return None,
        };
    }
    None
}

/// Removes sections that a flag replaces: what the file says there does not matter, right or wrong.
fn without_overridden(root: &mut Node, arguments: &StartArguments) {
    let Node::Map(entries) = root else { return };
    entries.retain(|(key, _)| match key.as_str() {
        "auth" => !arguments.disable_auth,
        "permission" => !arguments.disable_permissions,
        "storage" => !arguments.memory,
        _ => true,
    });
}

/// Checks what can only be checked once everything was read.
fn settle(root: &Node, file: &Path, arguments: &StartArguments, config: &mut Config) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut complain = |path: &[&str], what: &str, hint: &str| {
        let steps = path.iter().map(|key| Step::Key((*key).to_owned())).collect();
        complaints.push(Complaint { steps, what: what.to_owned(), hint: hint.to_owned() });
    };
    let at = |path: &[&str]| path.iter().try_fold(root, |node, key| node.get(key));

    let empty = |key: &str| matches!(at(&[key]), Some(Node::List(items)) if items.iter().all(Node::is_nothing));
    if empty("connectionEndpoints") {
        complain(&["connectionEndpoints"], "No connection endpoints configured", "leave the key out for all of them");
    }
    if empty("auth") {
        complain(&["auth"], "No authentication type specified", "write - type: none to let everybody in");
    }
    for (index, endpoint) in config.endpoints.iter().enumerate() {
        let kind = endpoint.protocol.kind();
        for other in &config.endpoints[..index] {
            if other.protocol == endpoint.protocol {
                let what = format!("there is more than one {kind} endpoint");
                complain(&["connectionEndpoints"], &what, "keep one of them");
            } else if other.url_path == endpoint.url_path {
                let what = format!("{} and {kind} have the same urlPath", other.protocol.kind());
                complain(&["connectionEndpoints"], &what, "choose another path for one of them");
            }
        }
        if endpoint.url_path == config.http.health_check_path {
            let path = ["httpServer", "options", "healthCheckPath"];
            complain(&path, &format!("is the path of the {kind} endpoint too"), "choose another path");
        }
    }
    if !config.http.all_origins && config.http.origins.is_empty() {
        let what = "allowAllOrigins is false, but no origins are listed";
        complain(&["httpServer", "options", "allowAllOrigins"], what, "list the origins that browsers may come from");
    }
    settle_outbox(&at, config, &mut complain);
    if !arguments.memory {
        storage::demand(root, config.cache.is_some(), &mut complain);
    }
    storage::settle(file, root, arguments.memory, config, &mut complain);
    let auth = auth::settle(root, config);
    settle_tls(file, config, &mut complain);
    complaints.extend(auth);
    complaints
}

/// Checks that keys and certificates come together, and makes their paths relative to the configuration file.
fn settle_tls(file: &Path, config: &mut Config, complain: &mut impl FnMut(&[&str], &str, &str)) {
    let directory = file.parent().unwrap_or(Path::new(""));
    if let Some(tls) = &mut config.http.tls {
        settle_tls_of(tls, config.http.port, directory, &mut |what: &str, hint: &str| {
            complain(&["httpServer", "options", "ssl"], what, hint);
        });
    }
    if let Some(mqtt) = &mut config.mqtt
        && let Some(tls) = &mut mqtt.tls
    {
        settle_tls_of(tls, mqtt.port, directory, &mut |what: &str, hint: &str| {
            complain(&["connectionEndpoints"], &format!("ssl of mqtt {what}"), hint);
        });
    }
    let ports = |tls: &Option<Tls>, port| [Some(port), tls.as_ref().and_then(|tls| tls.port)];
    if let Some(mqtt) = &config.mqtt {
        let web = ports(&config.http.tls, config.http.port);
        if ports(&mqtt.tls, mqtt.port).into_iter().flatten().any(|port| web.contains(&Some(port))) {
            complain(&["connectionEndpoints"], "mqtt has a port of httpServer", "choose another port");
        }
    }
}

fn settle_tls_of(tls: &mut Tls, plain_port: u16, directory: &Path, complain: &mut impl FnMut(&str, &str)) {
    for (pem, key) in [(&tls.key, "key"), (&tls.certificate, "cert")] {
        if *pem == Pem::default() {
            complain(&format!("has no {key}"), "TLS needs key and cert, as text (fileLoad) or as paths (file)");
        }
    }
    if tls.port == Some(plain_port) {
        complain("has the port of the plain connections", "leave it out to serve secured connections only");
    }
    for pem in [Some(&mut tls.key), Some(&mut tls.certificate), tls.client_authority.as_mut()].into_iter().flatten() {
        if let Pem::File(path) = pem {
            *path = text::absolute(&directory.join(&*path));
        }
    }
}

/// An outbox is bounded by two keys, upstream's and ours; and reading must be paused at a lower size than connections
/// are closed at.
fn settle_outbox<'n>(
    at: &impl Fn(&[&str]) -> Option<&'n Node>,
    config: &mut Config,
    complain: &mut impl FnMut(&[&str], &str, &str),
) {
    let limits = &mut config.limits;
    let upstream = ["httpServer", "options", "maxBackpressure"];
    let (ours, high_water) = (["limits", "outboxBytesMax"], ["limits", "outboxHighWaterBytes"]);
    if at(&upstream).is_some() && at(&ours).is_some() {
        complain(&upstream, "says the same as limits.outboxBytesMax", "keep one of the two");
    }
    if limits.outbox_high_water_bytes > limits.outbox_bytes_max / 2 {
        if at(&high_water).is_some() {
            complain(
                &high_water,
                "is more than half of limits.outboxBytesMax",
                "reading must pause well before the connection is closed",
            );
        } else {
            limits.outbox_high_water_bytes = limits.outbox_bytes_max / 2;
        }
    }
}

/// Flags win over the file.
fn override_with(config: &mut Config, arguments: &StartArguments, accepted: &mut Vec<(String, String)>) {
    if let Some(host) = &arguments.host {
        config.http.host.clone_from(host);
        config.http.host_is_written = true;
    }
    if arguments.no_protected_mode {
        config.http.protected_mode = false;
    }
    if let Some(port) = arguments.port {
        config.http.port = port;
    }
    if let Some(level) = arguments.log_level {
        config.log.level = level;
    }
    if let Some(colors) = arguments.colors {
        config.log.colors = if colors { Colors::Always } else { Colors::Never };
    }
    if let Some(shards) = arguments.shards {
        config.cores.count = Some(shards);
    }
    if let (Some(data), Some(kept)) = (&arguments.data, config.storage.kept_mut()) {
        kept.move_to(text::absolute(data));
    }
    config.tape = arguments.tape.as_deref().map(text::absolute);
    if arguments.inspect.is_some() {
        accepted.push(("--inspect".to_owned(), "there is no Node process to inspect".to_owned()));
    }
    if arguments.lib_dir.is_some() {
        accepted.push(("--lib-dir".to_owned(), "there are no plugins to load".to_owned()));
    }
}

/// A server name in upstream's form, `base36(milliseconds)-base36(random)`.
fn generated_name() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // The standard library seeds this hasher from the operating system: randomness without another dependency.
    let random = RandomState::new().hash_one(std::process::id());
    format!("{}-{}", base36(since.as_millis() as u64), base36(random))
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod reference_tests;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
#[path = "variables_tests.rs"]
mod variables_tests;
