use super::table::{Rule, rows};
use super::*;
use crate::log::{LogFormat, Timestamps};
use deepstream_engine::Visibility;
use deepstream_valve::Right;
use std::time::Duration;

/// A directory that goes away with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("deepstream-{name}-{}-{}", std::process::id(), generated_name()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const SHIPPED: &str = include_str!("../../conf/config.yml");

fn with(text: &str, arguments: &StartArguments) -> Result<Loaded, ConfigErrors> {
    let environment = |name: &str| (name == "PORT").then(|| "7001".to_owned());
    read(Path::new("/etc/ds/config.yml"), text, arguments, &environment)
}

fn good(text: &str) -> Loaded {
    with(text, &StartArguments::default()).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

fn bad(text: &str) -> String {
    with(text, &StartArguments::default()).expect_err(text).to_string().replace("/etc/ds/", "")
}

#[test]
fn the_shipped_file_is_the_defaults_written_out() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let loaded =
        read(&directory.join("conf/config.yml"), SHIPPED, &StartArguments::default(), &|_| None).expect("good");
    let (generated, permission) = (loaded.config.server_name.clone(), loaded.config.permission.clone());
    let storage = Storage::of(Embedded { directory: directory.join("data"), durability: Durability::Always });
    let defaults = Config::default();
    // The shipped rules are all that the default leaves out.
    assert_eq!(Permission { rules: None, ..permission.clone() }, defaults.permission);
    let ruleset = permission.rules.as_ref().map(|rules| rules.ruleset.clone()).expect("rules");
    assert!(Right::ALL.into_iter().all(|right| ruleset.is_open(right)));
    assert_eq!(loaded.config, Config { server_name: generated, permission, storage, ..defaults });
    assert_eq!(loaded.accepted, []);
    assert_eq!(loaded.unset, []);
}

/// Those that a server has outside of tests.
pub(super) fn shipped_rows() -> impl Iterator<Item = &'static table::Row> {
    rows().filter(|row| !row.path.starts_with("auth[toy]"))
}

#[test]
fn every_honoured_key_is_explained_in_the_shipped_file() {
    let explained = |key: &str| {
        SHIPPED.lines().any(|line| line.trim_start_matches([' ', '#', '-']).starts_with(&format!("{key}:")))
    };
    for row in shipped_rows().filter(|row| row.rule.is_honoured()) {
        let known = match (&row.rule, row.path.split_once('[')) {
            (Rule::Kind(_), Some((_, kind))) => SHIPPED.contains(kind.trim_end_matches(']')),
            // The services that exist so that their `none` is understood.
            (Rule::Service { .. }, _) if ["monitoring", "clusterNode", "telemetry"].contains(&row.path) => true,
            _ => explained(row.path.rsplit('.').next().unwrap()),
        };
        // `json` is upstream's other word for its default logger, the others are what their service is without a word.
        let unsaid = ["logger[json]", "telemetry[deepstreamIO]"];
        assert!(known || unsaid.contains(&row.path), "{} is not in conf/config.yml", row.path);
    }
}

#[test]
fn no_key_has_two_rows() {
    for (at, row) in rows().enumerate() {
        assert!(!rows().take(at).any(|earlier| earlier.path == row.path), "{}", row.path);
    }
}

#[test]
fn an_empty_file_means_defaults() {
    for text in ["", "# nothing\n\n", "record:\n  # memoryBytesMax: 5\n", "{}"] {
        let loaded = good(text);
        let server_name = loaded.config.server_name.clone();
        let directory = std::env::current_dir().unwrap().join("data");
        let storage = Storage::of(Embedded { directory, durability: Durability::Always });
        assert_eq!(loaded.config, Config { server_name, storage, ..Config::default() }, "{text}");
    }
}

/// Text, and whether what came of it is right.
type Honoured = (&'static str, fn(&Config) -> bool);

#[test]
#[expect(clippy::too_many_lines, reason = "a table: one row a case")]
fn honoured_keys_arrive() {
    let table: &[Honoured] = &[
        ("serverName: one", |c| c.server_name == "one"),
        ("serverName: ab#cd", |c| c.server_name == "ab#cd"),
        ("serverName: 'ab #cd' # a comment", |c| c.server_name == "ab #cd"),
        ("serverName: \"a\\\"b #c\" # a comment", |c| c.server_name == "a\"b #c"),
        ("serverName: \"a\\\" # file(x)\"", |c| c.server_name == "a\" # /etc/ds/x"),
        ("serverName: don't # fileLoad(nothing.yml) 'x", |c| c.server_name == "don't"),
        ("serverName: UUID", |c| c.server_name.len() > 9 && c.server_name.contains('-')),
        ("logLevel: 3", |c| c.log.level == Level::Error),
        ("logLevel: debug", |c| c.log.level == Level::Debug),
        ("logger: {type: default, options: {colors: false}}", |c| c.log.colors == Colors::Never),
        ("logger: {options: {timestamps: true}}", |c| c.log.timestamps == Timestamps::Always),
        ("logger: {type: json, options: {timestamps: false}}", |c| c.log.timestamps == Timestamps::Never),
        ("logger: {options: {timestamps: auto}}", |c| c.log.timestamps == Timestamps::InFiles),
        ("logger: {name: pino, options: {logLevel: 2}}", |c| {
            c.log.format == LogFormat::Json && c.log.level == Level::Warn
        }),
        ("httpServer: {options: {host: '::', port: 80, healthCheckPath: /alive}}", |c| {
            (c.http.host.as_str(), c.http.port, c.http.health_check_path.as_str()) == ("::", 80, "/alive")
        }),
        ("httpServer: {type: uws, options: {port: ${PORT}}}", |c| c.http.port == 7001),
        ("httpServer: {options: {maxBackpressure: 1048576}}", |c| {
            c.limits.outbox_bytes_max == 1 << 20 && c.limits.outbox_high_water_bytes == 1 << 19
        }),
        (
            "connectionEndpoints: [null, {type: ws-binary, options: {urlPath: /ws, heartbeatInterval: 5, maxAuthAttempts: 9}}]",
            |c| {
                c.endpoints[0].url_path == "/ws"
                    && c.endpoints[0].heartbeat_interval == Duration::from_millis(5)
                    && c.endpoints[0].max_auth_attempts == 9
            },
        ),
        ("connectionEndpoints: [{type: ws-binary, options: {unauthenticatedClientTimeout: false}}]", |c| {
            c.endpoints[0].unauthenticated_client_timeout.is_none()
        }),
        (
            "connectionEndpoints: [{type: ws-binary, options: {unauthenticatedClientTimeout: 70, maxMessageSize: 500}}]",
            |c| {
                c.endpoints[0].unauthenticated_client_timeout == Some(Duration::from_millis(70))
                    && c.endpoints[0].max_message_bytes == 500
            },
        ),
        ("connectionEndpoints: [{type: ws-text, options: {textAfterSilence: 250}}]", |c| {
            c.text_after_ms() == Some(250)
        }),
        ("connectionEndpoints: [{type: ws-text, options: {textAfterSilence: 0}}]", |c| c.text_after_ms().is_none()),
        ("connectionEndpoints: [{type: ws-text}]", |c| c.text_after_ms() == Some(1000)),
        ("connectionEndpoints: [{type: ws-binary}]", |c| c.text_after_ms().is_none()),
        ("enabledFeatures: {event: false, rpc: false}", |c| {
            !c.features.event && !c.features.rpc && c.features.record && c.features.presence
        }),
        ("enabledFeatures: {presence: false}", |c| !c.features.presence && c.features.rpc),
        (
            "rpc: {ackTimeout: 100, responseTimeout: 200, provideRequestorName: true, provideRequestorData: false}",
            |c| {
                c.rpc
                    == Rpc {
                        ack_timeout: Duration::from_millis(100),
                        response_timeout: Duration::from_millis(200),
                        provide_requestor_name: true,
                        provide_requestor_data: false,
                    }
            },
        ),
        ("listen: {shuffleProviders: false, responseTimeout: 2000, rematchInterval: 5000, matchCooldown: 0}", |c| {
            c.listen
                == types::Listen {
                    shuffle_providers: false,
                    response_timeout: Duration::from_secs(2),
                    rematch_interval: Some(Duration::from_secs(5)),
                    match_cooldown: Duration::ZERO,
                }
        }),
        // As upstream: too often means never.
        ("listen: {rematchInterval: 1000}", |c| c.listen.rematch_interval.is_none() && c.listen.shuffle_providers),
        ("rpc: {provideRequestorData: true}", |c| c.rpc.provide_requestor_data && !c.rpc.provide_requestor_name),
        (
            "connectionEndpoints: [{type: http, options: {postPath: /do, enableAuthEndpoint: false, requestTimeout: 5}}]",
            |c| {
                let Some(http) = &c.http_endpoint else { return false };
                let defaults = HttpEndpoint::default();
                c.endpoints.is_empty()
                    && (http.post_path.as_str(), http.auth_enabled) == ("/do", false)
                    && (&http.get_path, &http.auth_path) == (&defaults.get_path, &defaults.auth_path)
                    && http.request_timeout == Duration::from_millis(5)
            },
        ),
        ("connectionEndpoints: [{type: ws-binary}]", |c| c.http_endpoint.is_none()),
        ("logLevel: 2", |c| c.http_endpoint == Some(HttpEndpoint::default())),
        (
            "httpServer: {options: {allowAllOrigins: false, origins: [http://a], hostUrl: h:1, maxMessageSize: 500}}",
            |c| {
                c.pages().is_some_and(|pages| pages.origins == ["http://a"])
                    && c.pages().is_some_and(|pages| pages.host.as_deref() == Some("h:1"))
                    && c.http.body_bytes_max == 500
            },
        ),
        ("httpServer: {options: {trustedProxies: [10.0.0.0/8, \"::1\"]}}", |c| c.http.trusted_proxies.len() == 2),
        ("httpServer: {options: {trustedProxies: []}}", |c| c.http.trusted_proxies.is_empty()),
        ("connectionEndpoints: [{type: ws-json, options: {heartbeatInterval: 7}}]", |c| {
            let [json] = &c.endpoints[..] else { return false };
            json.protocol == Protocol::Json
                && json.url_path == "/deepstream-json"
                && json.heartbeat_interval == Duration::from_millis(7)
        }),
        ("connectionEndpoints: [{type: ws-text, options: {maxAuthAttempts: 2}}, {type: ws-binary}]", |c| {
            let protocols: Vec<_> = c.endpoints.iter().map(|endpoint| endpoint.protocol).collect();
            protocols == [Protocol::Text, Protocol::Binary]
                && c.endpoints[0].url_path == "/deepstream-v3"
                && c.endpoints[0].max_auth_attempts == 2
                && c.endpoints[1].max_auth_attempts == 3
        }),
        ("httpServer: {type: default}", |c| c.endpoints == Config::default().endpoints && !c.endpoints.is_empty()),
        ("auth: {type: none}\npermission: {type: none}", |_| true),
        ("auth:\n  - type: none\n    options:\n", |_| true),
        (
            "record: {storageRetrievalTimeout: 30000, storageExclusionPrefixes: [a/, b], storageHotPathPrefixes: null}",
            |c| {
                c.record.storage_retrieval_timeout == Duration::from_secs(30)
                    && c.record.storage_exclusion_prefixes == ["a/", "b"]
                    && c.record.storage_hot_path_prefixes.is_empty()
            },
        ),
        ("record: {visibility: stored}", |c| c.record.visibility == Visibility::Stored),
        ("record: {visibility: accepted}", |c| c.record.visibility == Visibility::Accepted),
        ("storage: {type: memory}\ncache: {type: default}", |c| c.storage == Storage::Memory),
        ("storage: {options: {intervalMs: 250, durability: interval, directory: db}}", |c| {
            let durability = Durability::Interval(Duration::from_millis(250));
            c.storage == Storage::of(Embedded { directory: "/etc/ds/db".into(), durability })
        }),
        ("storage: {options: {durability: none, directory: /var/db}}", |c| {
            c.storage == Storage::of(Embedded { directory: "/var/db".into(), durability: Durability::None })
        }),
        (
            "cores: {shards: '2-4', services: '0', count: 2, pin: false, latencyProfile: spin, allowOverlap: true}",
            |c| {
                c.cores
                    == Cores {
                        shards: CpuChoice::List(vec![2, 3, 4]),
                        services: Some(vec![0]),
                        allow_overlap: true,
                        count: Some(2),
                        pin: false,
                        latency_profile: LatencyProfile::Spin,
                    }
            },
        ),
        ("limits: {connectionsMax: 5, slowConsumerTimeoutMs: 9, drainTimeoutMs: 0}", |c| {
            c.limits.connections_max == 5
                && c.limits.slow_consumer_timeout == Duration::from_millis(9)
                && c.limits.drain_timeout == Duration::ZERO
        }),
    ];
    for (text, holds) in table {
        assert!(holds(&good(text).config), "{text}\n{:#?}", good(text).config);
    }
}

#[test]
fn every_bound_goes_into_the_field_of_its_own_name() {
    let lines = |config: &Config| -> Vec<String> { format!("{config:#?}").lines().map(str::to_owned).collect() };
    let memory = |text: &str| good(&format!("serverName: a\nstorage: {{type: memory}}\n{text}")).config;
    let before = lines(&memory(""));
    let rows = rows().filter(|row| matches!(row.rule, Rule::Number { .. }));
    for path in rows.map(|row| row.path).filter(|path| path.starts_with("limits.") || *path == "record.memoryBytesMax")
    {
        let (section, key) = path.split_once('.').unwrap();
        let default = SHIPPED.lines().find_map(|line| line.trim().strip_prefix(&format!("{key}: "))).unwrap();
        let after = lines(&memory(&format!("{section}: {{{key}: {}}}", default.parse::<u64>().unwrap() + 1)));
        let changed: Vec<&String> = before.iter().zip(&after).filter(|(a, b)| a != b).map(|(_, b)| b).collect();
        let field = key.trim_end_matches("Ms").chars().fold(String::new(), |mut name, letter| {
            if letter.is_uppercase() {
                name.push('_');
            }
            name.extend(letter.to_lowercase());
            name
        });
        assert_eq!(changed.len(), 1, "{path}: {changed:?}");
        assert!(changed[0].trim().starts_with(&format!("{field}: ")), "{path}: {changed:?}");
    }
}

#[test]
fn merged_yaml_keys_count_and_are_told_by_the_line_that_merges_them() {
    let loaded = good("cores: &base\n  pin: false\ncache: {type: default}\nlimits: {nameBytesMax: 9}\n");
    assert!(!loaded.config.cores.pin);
    let said = bad("httpServer: &o\n  options:\n    port: 7\nlogger:\n  <<: *o\n");
    assert_eq!(said, "config.yml:4: logger.options.port: unknown key; did you mean httpServer.options.port?");
}

#[test]
fn what_has_no_meaning_is_accepted_and_listed_with_its_reason() {
    let loaded = good(
        "showLogo: true\nlibDir: null\nplugins: {}\nexitOnFatalError: false\n\
         telemetry: {type: deepstreamIO, options: {enabled: false, deploymentId: x}}\nmonitoring: {type: none}\n\
         clusterNode: {type: default}\nlocks: {type: default, options: {holdTimeout: 1}}\n\
         connectionEndpoints: [{type: ws-binary, options: {outgoingBufferTimeout: 0}}]\n",
    );
    let paths: Vec<&str> = loaded.accepted.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "showLogo",
            "libDir",
            "plugins",
            "exitOnFatalError",
            "telemetry.options.enabled",
            "telemetry.options.deploymentId",
            "locks",
            "connectionEndpoints[0].options.outgoingBufferTimeout",
        ]
    );
    assert!(loaded.accepted.iter().all(|(_, why)| !why.is_empty()));
}

#[test]
fn a_cluster_of_one_machine_is_one_server_on_all_its_cores() {
    for text in ["clusterNode: {name: vertical}", "clusterNode:\n  type: default\n  name: vertical\n"] {
        let named = |text: &str| good(&format!("serverName: one\n{text}")).config;
        assert_eq!(named(text), named(""), "{text}");
    }
}

#[test]
fn what_is_not_here_yet_is_refused_with_line_and_sentence() {
    for (text, start) in [
        ("permission:\n  type: config\n", "config.yml:1: permission.options: type config needs its rules"),
        ("cache: {name: memcached}", "config.yml:1: cache.name: connectors to other databases"),
        ("storage: {name: mongodb}", "config.yml:1: storage.name: connectors to other databases"),
        ("monitoring:\n- {type: log}", "config.yml:2: monitoring[0].type: monitoring output is not in this release"),
        ("clusterNode: {name: redis}", "config.yml:1: clusterNode.name: clusters are not in this release"),
        (
            "httpServer: {options: {allowAllOrigins: false}}",
            "config.yml:1: httpServer.options.allowAllOrigins: allowAllOrigins is false, but no origins are listed",
        ),
        ("plugins: {custom: {path: ./x}}", "config.yml:1: plugins: JavaScript plugins cannot be loaded"),
        ("storage:\n  path: ./x\n", "config.yml:2: storage.path: JavaScript plugins cannot be loaded"),
        (
            "shuffleListenProviders: true",
            "config.yml:1: shuffleListenProviders: this key is from an old release: write listen.shuffleProviders",
        ),
        ("rpcAckTimeout: 1000", "config.yml:1: rpcAckTimeout: this key is from an old release: write rpc.ackTimeout"),
        ("rpcTimeout: 1000", "config.yml:1: rpcTimeout: this key is from an old release: write rpc.responseTimeout"),
        (
            "enabledFeatures:\n  monitoring: true",
            "config.yml:2: enabledFeatures.monitoring: monitoring is not in this release",
        ),
        (
            "telemetry: {options: {enabled: true}}",
            "config.yml:1: telemetry.options.enabled: this server reports nothing",
        ),
        ("port: 6020", "config.yml:1: port: this key is from an old release: write httpServer.options.port"),
    ] {
        let said = bad(text);
        assert!(said.starts_with(start), "{text}\n{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn keys_and_certificates_are_text_or_files_and_go_together() {
    let tls = |text: &str| good(&format!("httpServer: {{options: {{ssl: {text}}}}}")).config.http.tls;
    assert_eq!(tls("null"), None);
    let text = "-----BEGIN X-----";
    let expected = Tls {
        key: Pem::File("/etc/ds/key.pem".into()),
        certificate: Pem::Text(text.to_owned()),
        client_authority: Some(Pem::File("/ca.pem".into())),
        port: Some(6443),
    };
    assert_eq!(
        tls(&format!("{{key: key.pem, cert: \"{text}\", ca: /ca.pem, port: 6443, dhParams: x}}")),
        Some(expected)
    );
    for (text, said) in [
        ("{key: a}", "config.yml:1: httpServer.options.ssl: has no cert"),
        ("{cert: a}", "config.yml:1: httpServer.options.ssl: has no key"),
        (
            "{key: a, cert: b, port: 6020}",
            "config.yml:1: httpServer.options.ssl: has the port of the plain connections",
        ),
        ("{key: a, cert: b, passphrase: c}", "config.yml:1: httpServer.options.ssl.passphrase: encrypted keys cannot"),
        ("{key: '', cert: b}", "config.yml:1: httpServer.options.ssl.key: expected PEM text"),
    ] {
        let told = bad(&format!("httpServer: {{options: {{ssl: {text}}}}}"));
        assert!(told.contains(said), "{text}\n{told}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: one row a case")]
fn what_is_wrong_is_told_with_file_line_key_and_hint() {
    for (text, said) in [
        ("a: 1\n", "config.yml:1: a: unknown key"),
        ("\nserverNam: x\n", "config.yml:2: serverNam: unknown key; did you mean serverName?"),
        (
            "record:\n  memoryBytesMax: 5000000\n  storageRetrivalTimeout: 1\n",
            "config.yml:3: record.storageRetrivalTimeout: unknown key; did you mean storageRetrievalTimeout?",
        ),
        (
            "heartbeatInterval: 5",
            "config.yml:1: heartbeatInterval: unknown key; did you mean connectionEndpoints.options.heartbeatInterval?",
        ),
        (
            "record: {portt: 5}",
            "config.yml:1: record.portt: unknown key; known here are storageRetrievalTimeout, storageExclusionPrefixes, storageHotPathPrefixes, visibility, memoryBytesMax, cacheRetrievalTimeout",
        ),
        (
            "httpServer:\n  options:\n    port: 0\n",
            "config.yml:3: httpServer.options.port: expected a whole number from 1 to 65535, found 0",
        ),
        (
            "httpServer:\n  options:\n    port: '6020'\n",
            "config.yml:3: httpServer.options.port: expected a whole number from 1 to 65535, found the text \"6020\"; remove the quotes",
        ),
        (
            "httpServer:\n  options:\n    port: ${NOPE}\n",
            "config.yml:3: httpServer.options.port: expected a whole number from 1 to 65535, found nothing; the environment variable NOPE is not set",
        ),
        ("cores: {pin: yes}", "config.yml:1: cores.pin: expected true or false, found the text \"yes\""),
        (
            "cores:\n  shards: 4",
            "config.yml:2: cores.shards: expected text: \"4\" in quotes for CPU 4, or cores.count: 4 for that many shards, found 4",
        ),
        (
            "cores:\n  shards: 4-2",
            "config.yml:2: cores.shards: expected the range \"4-2\" runs backwards, found the text \"4-2\"",
        ),
        (
            "cores: {latencyProfile: fast}",
            "config.yml:1: cores.latencyProfile: expected eco, balanced or spin, found the text \"fast\"",
        ),
        (
            "logLevel: 7",
            "config.yml:1: logLevel: expected 0 (DEBUG), 1 (INFO), 2 (WARN), 3 (ERROR), 4 (FATAL) or 100 (OFF), found 7",
        ),
        ("auth: none", "config.yml:1: auth: expected a list of entries with a type, found the text \"none\""),
        (
            "connectionEndpoints:\n  websocket:\n    name: uws\n",
            "config.yml:1: connectionEndpoints: the entries are written as a map, as in old releases; write a list of entries with a type",
        ),
        ("auth: {}", "config.yml:1: auth: the entry has no type; known here: none, file, http, storage, jwt, toy"),
        ("auth: []", "config.yml:1: auth: No authentication type specified; write - type: none to let everybody in"),
        (
            "auth:\n - options: {}\n",
            "config.yml:2: auth[0]: the entry has no type; known here: none, file, http, storage, jwt, toy",
        ),
        ("auth:\n - type: nonne\n", "config.yml:2: auth[0].type: unknown type \"nonne\"; did you mean none?"),
        (
            "storage: {name: couchdb}",
            "config.yml:1: storage.name: unknown name \"couchdb\"; known here: memory, default, postgres, redis",
        ),
        ("storage: {type: memory, option: {}}", "config.yml:1: storage.option: unknown key; did you mean options?"),
        (
            "connectionEndpoints: []",
            "config.yml:1: connectionEndpoints: No connection endpoints configured; leave the key out for all of them",
        ),
        (
            "connectionEndpoints:\n- {type: ws-binary}\n- {type: ws-binary}",
            "config.yml:1: connectionEndpoints: there is more than one ws-binary endpoint; keep one of them",
        ),
        (
            "connectionEndpoints:\n- {type: ws-binary, options: {urlPath: /a}}\n- {type: ws-text, options: {urlPath: /a}}",
            "config.yml:1: connectionEndpoints: ws-binary and ws-text have the same urlPath; choose another path for one of them",
        ),
        (
            "connectionEndpoints:\n- type: ws-binary\n  options:\n    urlPath: ds\n",
            "config.yml:4: connectionEndpoints[0].options.urlPath: expected a path that begins with / and has no ?, # or blanks, found the text \"ds\"",
        ),
        (
            "storage:\n  options:\n    intervalMs: 5\n",
            "config.yml:3: storage.options.intervalMs: means something only beside durability: interval; remove one of the two",
        ),
        (
            "limits:\n  outboxBytesMax: 8192\n  outboxHighWaterBytes: 8000\n",
            "config.yml:3: limits.outboxHighWaterBytes: is more than half of limits.outboxBytesMax; reading must pause well before the connection is closed",
        ),
        (
            "limits: {outboxBytesMax: 9000000}\nhttpServer:\n  options:\n    maxBackpressure: 9000000",
            "config.yml:4: httpServer.options.maxBackpressure: says the same as limits.outboxBytesMax; keep one of the two",
        ),
        ("logLevel: 1\nserverName: a\nlogLevel: 2\n", "config.yml:3: duplicate key \"logLevel\""),
        (
            "rpc:\n  ackTimeout: 1\n  responseTimeout: 1\n  ackTimeout: 2\nlogLevel: 1\nlogLevel: 2\nlogLevel: 2",
            "config.yml:4: duplicate key \"ackTimeout\"\nconfig.yml:6: duplicate key \"logLevel\"\nconfig.yml:7: duplicate key \"logLevel\"",
        ),
        (
            "rpc:\n\tackTimeout: 1\n",
            "config.yml:2: cannot be parsed: the line is indented with a tab; YAML is indented with spaces only",
        ),
        (
            "rpc:\n  ackTimeout: 1\n\tresponseTimeout: 1\n",
            "config.yml:3: cannot be parsed: the line is indented with a tab; YAML is indented with spaces only",
        ),
        (
            "rpc: {ackTimeout: 0}",
            "config.yml:1: rpc.ackTimeout: expected a whole number of milliseconds from 1 to 31536000000, found 0",
        ),
        ("record: 5", "config.yml:1: record: expected a section of keys, found 5"),
        ("- a", "config.yml:1: expected a section of keys, found a list"),
        (
            "{\n  \"limits\": {\n    \"nameBytesMax\": -1\n  }\n}",
            "config.yml:3: limits.nameBytesMax: expected a whole number of bytes from 1 to 65535, found -1",
        ),
    ] {
        assert_eq!(bad(text), said, "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_parsed_is_refused_with_its_line() {
    assert!(bad("a: 1\nb: [\n").starts_with("config.yml:"), "{}", bad("a: 1\nb: [\n"));
    let said = bad("serverName: x\nlogLevel: \"1\nrecord: {}\n");
    assert!(said.starts_with("config.yml:") && said.contains(": cannot be parsed: "), "{said}");
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let said = bad("logLevel: 9\nmonitoring: {type: http}\nlimits:\n  nope: 1\nauth: []\n");
    let lines: Vec<&str> = said.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(lines, ["config.yml:1", "config.yml:2", "config.yml:4", "config.yml:5"]);
}

#[test]
fn flags_win_over_the_file() {
    let arguments = StartArguments {
        host: Some("::1".to_owned()),
        port: Some(9),
        disable_auth: true,
        disable_permissions: true,
        log_level: Some(Level::Warn),
        colors: Some(true),
        shards: Some(3),
        data: Some("/elsewhere".into()),
        inspect: Some("a:1".to_owned()),
        ..StartArguments::default()
    };
    let text =
        "auth: [{type: file}]\npermission: {type: config}\nlogLevel: 0\nhttpServer: {options: {port: 8, host: b}}";
    let Loaded { config, accepted, .. } = with(text, &arguments).unwrap();
    assert_eq!((config.http.host.as_str(), config.http.port), ("::1", 9));
    assert_eq!((config.log.level, config.log.colors, config.cores.count), (Level::Warn, Colors::Always, Some(3)));
    assert_eq!(config.storage.kept().and_then(|kept| kept.directory()), Some(Path::new("/elsewhere")));
    assert_eq!(accepted[0].0, "--inspect");
    let memory = StartArguments { memory: true, ..StartArguments::default() };
    assert_eq!(with("storage: {name: mongodb}", &memory).unwrap().config.storage, Storage::Memory);
}

#[test]
fn files_are_loaded_literally_and_named_in_the_log() {
    let scratch = Scratch::new("load");
    scratch.write("names.yml", "- \"a#b $& $1\" # not this\n- ${PORT}x\n");
    let config = scratch.write(
        "conf/config.yml",
        "# fileLoad(missing.yml)\nrecord:\n  storageExclusionPrefixes: fileLoad(../names.yml)\n\
         storage: {options: {directory: \"file(db)\"}}\nserverName: \"fileLoad(name.txt)\" # ${NOPE}\n",
    );
    scratch.write("conf/name.txt", "it \"is\"");
    let environment = |name: &str| (name == "PORT").then(|| "7".to_owned());
    let text = std::fs::read_to_string(&config).unwrap();
    let loaded = read(&config, &text, &StartArguments::default(), &environment).unwrap();
    assert_eq!(loaded.config.record.storage_exclusion_prefixes, ["a#b $& $1", "7x"]);
    assert_eq!(loaded.config.server_name, "it \"is\"");
    let directory = scratch.path().join("conf/db");
    assert_eq!(loaded.config.storage, Storage::of(Embedded { directory, durability: Durability::Always }));
    let names = scratch.path().join("names.yml");
    assert_eq!(loaded.loaded[0], format!("Loaded content from {} for fileLoad(../names.yml)", names.display()));
}

#[test]
fn variables_that_nobody_set_are_told_where_they_did_no_harm() {
    let loaded = good("logLevel: 1\nserverName: a${NOPE}b # ${COMMENT}\n");
    assert_eq!(loaded.config.server_name, "ab");
    assert_eq!(loaded.unset, [(2, "NOPE".to_owned())]);
}

#[test]
fn a_loaded_file_that_is_missing_or_malformed_is_named() {
    let scratch = Scratch::new("load-bad");
    let missing = scratch.path().join("no.yml");
    let config = scratch.path().join("config.yml");
    let load = |text: &str| read(&config, text, &StartArguments::default(), &|_| None).unwrap_err().to_string();
    assert_eq!(
        load("\nauth: fileLoad(no.yml)\n"),
        format!(
            "{}:2: Error loading config file, missing file {} for fileLoad(no.yml); \
             paths are relative to the directory of this file",
            config.display(),
            missing.display()
        )
    );
    let broken = scratch.write("broken.json", "{\n \"a\": 1,\n \"a\": 2}");
    let said = load("auth: fileLoad(broken.json)");
    assert!(said.contains(&format!("{}:3:2: duplicate key \"a\"", broken.display())), "{said}");
    let said = load("auth: fileLoad(.)");
    assert!(said.contains("for fileLoad(.) is a directory, not a file; paths are relative"), "{said}");
}

#[test]
fn json_files_may_have_comments_and_keep_their_lines() {
    let file = Path::new("/x/config.json");
    let load = |text: &str| read(file, text, &StartArguments::default(), &|_| None);
    let loaded = load("{\n # comment\n\t\"serverName\": \"a#b\\/c\" # more\n}").unwrap();
    assert_eq!(loaded.config.server_name, "a#b/c");
    let said = load("{\n\"limits\": {\n\"nameBytes\": 1}}").unwrap_err().to_string();
    assert_eq!(said, "/x/config.json:3: limits.nameBytes: unknown key; did you mean nameBytesMax?");
    let said = load("{\n\"limits\": {\n").unwrap_err().to_string();
    assert!(said.starts_with("/x/config.json:2: cannot be parsed: EOF"), "{said}");
}

#[test]
fn other_kinds_of_files_are_refused() {
    let load = |file: &str| read(Path::new(file), "", &StartArguments::default(), &|_| None).unwrap_err().to_string();
    assert!(load("/x/config.js").starts_with("/x/config.js: configuration in JavaScript cannot be run"));
    assert!(load("/x/config.toml").starts_with("/x/config.toml: .toml is not supported as configuration file"));
}

#[test]
fn shares_of_the_limits_add_up_to_the_whole() {
    let config = Config::default();
    let limits = config.engine_limits(3);
    assert!(limits.connections_max * 3 >= config.limits.connections_max);
    assert!(limits.connections_max * 3 < config.limits.connections_max + 3);
    assert_eq!(limits.record_memory_bytes_max, config.record.memory_bytes_max.div_ceil(3));
    assert_eq!(limits.slow_consumer_timeout_ns, 30_000_000_000);
    assert_eq!(config.engine_limits(0).parked_messages_max, config.limits.parked_messages_max);
}

#[test]
fn our_defaults_are_those_of_the_engine() {
    let engine = deepstream_engine::Limits::default();
    let mut config = Config::default();
    // By default it is what the machine has.
    config.limits.outbox_bytes_total_max = engine.outbox_bytes_total_max;
    assert_eq!(format!("{:?}", config.engine_limits(1)), format!("{engine:?}"));
}

#[test]
fn a_placement_that_does_not_fit_names_the_line() {
    let scratch = Scratch::new("place");
    let file = scratch.write("config.yml", "logLevel: 1\ncores:\n  shards: '900'\n");
    let text = std::fs::read_to_string(&file).unwrap();
    let loaded = read(&file, &text, &StartArguments::default(), &|_| None).unwrap();
    let said = loaded.place(&Topology::of_this_machine()).unwrap_err().to_string();
    let start = format!("{}:3: cores.shards: there is no CPU 900 on this machine; usable are ", file.display());
    assert!(said.starts_with(&start), "{said}");
}

#[path = "auth_tests.rs"]
mod auth;

#[test]
fn mqtt_is_on_where_it_is_listed_and_takes_no_keys_of_others() {
    let text = "connectionEndpoints:\n  - type: mqtt\n    options:\n";
    assert_eq!(good("{}").config.mqtt, None);
    let mqtt = good(&format!("{text}      port: 1884\n      idleTimeout: 5000\n")).config.mqtt.unwrap();
    assert_eq!((mqtt.port, mqtt.idle_timeout), (1884, Duration::from_secs(5)));
    let general = rows().filter_map(|row| row.path.strip_prefix("connectionEndpoints[*].options."));
    for key in general {
        let own = format!("connectionEndpoints[mqtt].options.{key}");
        let harmless = ["outgoingBufferTimeout", "maxBufferByteSize", "noDelay"].contains(&key);
        assert!(harmless || rows().any(|row| row.path == own), "{key} of a WebSocket endpoint would be taken for mqtt");
    }
    for (options, what) in [
        ("      urlPath: /x\n", "MQTT is not spoken over HTTP"),
        ("      port: 6020\n", "mqtt has a port of httpServer"),
        ("      ssl: {key: a.pem}\n", "ssl of mqtt has no cert"),
        ("      prot: 1\n", "did you mean port?"),
    ] {
        let complaint = bad(&format!("{text}{options}"));
        assert!(complaint.contains(what), "{complaint}");
    }
}

#[test]
fn a_database_is_described_with_the_keys_of_upstream() {
    let postgres = |options: &str| {
        let loaded = good(&format!("storage: {{name: postgres, options: {{{options}}}}}"));
        let postgres: &Postgres = loaded.config.storage.kept().unwrap().get().unwrap();
        (postgres.clone(), loaded.accepted)
    };
    let (least, _) = postgres("user: ann");
    assert_eq!(least, Postgres { user: "ann".to_owned(), ..Postgres::default() });
    assert_eq!((least.place().as_str(), least.schema.as_str()), ("ann at localhost:5432", "ds"));
    let (all, accepted) = postgres(
        "user: ann, password: 1234, host: /run/postgresql, port: 5433, database: records, schema: s, defaultTable: t, \
         role: owner, max: 4, useJsonb: true, connectionTimeoutMillis: 7, application_name: us, splitChar: /, \
         idleTimeoutMillis: 30000, writeInterval: 200, ssl: false, notifications: {INSERT: true, DESTROY_TABLE: true}",
    );
    let notifications = PostgresNotifications { create_table: false, insert: true, update: false, delete: false };
    let wanted = Postgres {
        host: "/run/postgresql".to_owned(),
        port: 5433,
        user: "ann".to_owned(),
        password: Some("1234".to_owned()),
        database: Some("records".to_owned()),
        schema: "s".to_owned(),
        default_table: "t".to_owned(),
        role: Some("owner".to_owned()),
        jsonb: true,
        connections: 4,
        connect_timeout: Duration::from_millis(7),
        application_name: "us".to_owned(),
        notifications,
    };
    assert!(all == wanted, "{all:?}");
    assert!(!format!("{all:?}").contains("1234"), "a password is nobody's business");
    let accepted: Vec<&str> = accepted.iter().map(|(path, _)| path.rsplit('.').next().unwrap()).collect();
    assert_eq!(accepted, ["idleTimeoutMillis", "writeInterval", "ssl"]);
    let (url, _) = postgres("connectionString: \"postgres://bob:p%40ss@db:6543/records\", schema: s");
    assert_eq!(url.place(), "records at db:6543");
    assert_eq!((url.user.as_str(), url.password.as_deref()), ("bob", Some("p@ss")));
}

#[test]
fn redis_is_described_with_the_keys_of_upstream() {
    let redis = |options: &str| {
        let loaded = good(&format!("storage: {{name: redis, options: {{{options}}}}}"));
        let redis: &Redis = loaded.config.storage.kept().unwrap().get().unwrap();
        (redis.clone(), loaded.accepted.len())
    };
    assert_eq!(redis(""), (Redis::default(), 0));
    let file = |name: &str| Some(Pem::File(std::path::absolute(name).unwrap()));
    let all = Redis {
        host: "db".to_owned(),
        port: 6380,
        sentinels: vec![("s1".to_owned(), 26379), ("s2".to_owned(), 7)],
        watched_as: Some("mymaster".to_owned()),
        sentinel_username: Some("sam".to_owned()),
        sentinel_password: Some("008".to_owned()),
        username: Some("ann".to_owned()),
        password: Some("007".to_owned()),
        database: 3,
        tls: Some(ClientTls {
            authority: file("/pki/ca.pem"),
            certificate: file("/pki/a.pem"),
            key: file("/pki/a.key"),
        }),
        ttl: Some(60),
        key_prefix: "app:".to_owned(),
        connect_timeout: Duration::from_millis(7),
        command_timeout: Duration::from_millis(8),
    };
    let tls = "tls: {ca: /pki/ca.pem, cert: /pki/a.pem, key: /pki/a.key, rejectUnauthorized: true}";
    let own = "sentinels: [{host: s1}, {host: s2, port: 7}], name: mymaster, sentinelUsername: sam, sentinelPassword: 008, ttl: 60, keyPrefix: 'app:', connectTimeout: 7, commandTimeout: 8, lazyConnect: true, family: 4";
    let (found, accepted) = redis(&format!("host: db, port: 6380, username: ann, password: 007, db: 3, {tls}, {own}"));
    assert!(found == all, "{found:?}");
    assert_eq!(accepted, 2);
    assert!(!format!("{all:?}").contains("007"), "a password is nobody's business");
    let nested = format!("host: db, port: 6380, redisOptions: {{username: ann, password: 007, db: 3, {tls}}}, {own}");
    assert!(redis(&nested).0 == all);
    assert_eq!(all.place(), "3 of mymaster behind s1:26379");
    let (found, _) = redis("url: \"rediss://bob:p%40ss@db:6390/2\"");
    assert_eq!(found.place(), "2 at db:6390");
    assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("bob"), Some("p@ss")));
    assert_eq!(found.tls, Some(ClientTls::default()));
    let (found, _) = redis("db: 4, url: \"redis://db\", password: x, tls: false");
    assert_eq!((found.place().as_str(), found.password.as_deref(), found.tls), ("4 at db:6379", Some("x"), None));
}

/// What users of upstream have: its storage keeps nothing unless it is configured.
#[test]
fn a_cache_without_a_storage_keeps_the_records() {
    let loaded = good("cache: {name: redis, options: {host: db, port: 6380, password: 007}}");
    let redis: &Redis = loaded.config.storage.kept().unwrap().get().unwrap();
    assert_eq!((redis.place().as_str(), redis.password.as_deref()), ("0 at db:6380", Some("007")));
    assert!(loaded.config.cache.is_none());
    for (storage, said) in [
        ("{type: memory}", "a cache before a storage that keeps nothing; leave one of them out"),
        (
            "{type: default}",
            "a cache before a storage in files of this machine, which is faster; leave one of them out",
        ),
    ] {
        let both = bad(&format!("storage: {storage}\ncache: {{name: redis}}"));
        assert!(both.starts_with(&format!("config.yml:2: cache: there is {said}")), "{both}");
    }
    let behind =
        good("storage: {name: redis, options: {port: 6380}}\ncache: {name: redis, options: {port: 6381}}").config;
    let places = [behind.storage.kept(), behind.cache.as_ref()].map(|kept| kept.unwrap().place());
    assert!(places[0].ends_with(":6380") && places[1].ends_with(":6381"), "{places:?}");
    let alone = StartArguments { memory: true, ..StartArguments::default() };
    for cache in ["cache: {name: redis}", "storage: {name: redis}\ncache: {name: redis}"] {
        let config = with(cache, &alone).unwrap().config;
        assert!(config.storage == Storage::Memory && config.cache.is_none());
    }
    let said = "config.yml:1: cache.options.prot: unknown key; did you mean port?";
    assert!(bad("cache: {name: redis, options: {prot: 1}}").starts_with(said));
}

#[test]
fn what_is_wrong_with_redis_is_told_by_its_line() {
    for (options, said) in [
        ("prot: 1", "config.yml:4: storage.options.prot: unknown key; did you mean port?"),
        ("port: 0", "config.yml:4: storage.options.port: expected a whole number from 1 to 65535"),
        ("db: -1", "config.yml:4: storage.options.db: expected a whole number from 0 to"),
        ("ttl: 0", "config.yml:4: storage.options.ttl: expected a whole number from 1 to"),
        ("url: nonsense", "config.yml:4: storage.options.url: expected redis://USER"),
        ("url: 'rediss://db/#insecure'", "config.yml:4: storage.options.url: expected redis://USER"),
        ("tls: {rejectUnauthorized: false}", "config.yml:4: storage.options.tls: expected a server whose certificate"),
        ("tls: {servername: db}", "config.yml:4: storage.options.tls: expected a certificate for the name in host"),
        ("tls: {certt: a}", "config.yml:4: storage.options.tls: expected true, false, or ca, cert and key"),
        ("tls: {cert: a.pem}", "config.yml:1: storage: tls of redis has one of cert and key; write both"),
        ("username: ann", "config.yml:1: storage: redis has a username without a password; write password"),
        ("nodes: [{host: a, port: 1}]", "config.yml:4: storage.options.nodes: Redis Cluster is not in this release"),
        ("sentinels: [{host: a}]", "config.yml:1: storage: redis has one of sentinels and name; write both"),
        ("name: mymaster", "config.yml:1: storage: redis has one of sentinels and name; write both"),
        ("sentinels: [{hst: a}]", "config.yml:4: storage.options.sentinels: expected a list of sentinels"),
        ("sentinels: [{host: a, port: 0}]", "config.yml:4: storage.options.sentinels: expected a list of sentinels"),
        ("sentinels: a", "config.yml:4: storage.options.sentinels: expected a list of sentinels"),
        ("redisOptions: {pasword: x}", "config.yml:4: storage.options.redisOptions.pasword: unknown key; did you mean"),
    ] {
        let text = format!("storage:\n  name: redis\n  options:\n    {options}\n");
        let found = bad(&text);
        assert!(found.starts_with(said), "{text}{found}");
    }
}

#[test]
fn what_is_wrong_with_a_database_is_told_by_its_line() {
    for (options, said) in [
        ("", "config.yml:1: storage: postgres has no user to log in with; write user, password"),
        ("user: a\n    pasword: x", "config.yml:5: storage.options.pasword: unknown key; did you mean password?"),
        ("user: a\n    port: 0", "config.yml:5: storage.options.port: expected a whole number from 1 to 65535"),
        ("user: a\n    max: 1", "config.yml:5: storage.options.max: expected a whole number from 2 to 64"),
        ("user: a\n    schema: 'a\"b'", "config.yml:5: storage.options.schema: expected a name of 1 to 63 bytes"),
        (
            "user: a\n    ssl: true",
            "config.yml:5: storage.options.ssl: connections to the database cannot be encrypted",
        ),
        ("user: a\n    splitChar: '-'", "config.yml:5: storage.options.splitChar: expected \"/\""),
        ("user: a\n    table: {prefix: x}", "config.yml:5: storage.options.table: this key is from an old release"),
        ("user: a\n    notifications: {INSERTS: true}", "config.yml:5: storage.options.notifications: expected CREATE"),
        (
            "user: a\n    connectionString: nonsense",
            "config.yml:5: storage.options.connectionString: expected postgres://USER",
        ),
    ] {
        let text = format!("storage:\n  name: postgres\n  options:\n    {options}\n");
        let found = bad(&text);
        assert!(found.starts_with(said), "{text}{found}");
    }
}

#[test]
fn what_is_shipped_is_open_and_meant_for_this_machine_alone() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped = |variable: Option<&str>, arguments: &StartArguments| {
        let environment = |name: &str| variable.filter(|_| name == protect::VARIABLE).map(str::to_owned);
        read(&directory.join("conf/config.yml"), SHIPPED, arguments, &environment)
    };
    let none = StartArguments::default();
    let config = shipped(None, &none).expect("good").config;
    assert_eq!(config.is_open(), Some("nobody has to log in, and everybody may do everything"));
    assert!(!config.allows_remote(ListenerKind::Web) && !config.allows_remote(ListenerKind::Mqtt));
    for (variable, meant) in [(Some("false"), true), (Some("true"), false), (Some(""), false)] {
        assert_eq!(
            shipped(variable, &none).expect("good").config.allows_remote(ListenerKind::Web),
            meant,
            "{variable:?}"
        );
    }
    let error = shipped(Some("yes"), &none).unwrap_err().to_string();
    assert!(error.contains("DEEPSTREAM_PROTECTED_MODE is \"yes\", where it is true or false"), "{error}");
    let flag = StartArguments { no_protected_mode: true, ..none.clone() };
    assert!(shipped(Some("true"), &flag).expect("good").config.allows_remote(ListenerKind::Mqtt), "flags win");
    let host = StartArguments { host: Some("::".to_owned()), ..none };
    let config = shipped(None, &host).expect("good").config;
    assert!(config.allows_remote(ListenerKind::Web) && !config.allows_remote(ListenerKind::Mqtt));
}

#[test]
fn a_server_is_open_as_long_as_nobody_logs_in_or_everybody_may_do_everything() {
    const FILE: &str = "auth: {type: file, options: {users: {ann: {password: x}}}}\n";
    const BOTH: &str = "auth: [{type: file, options: {users: {ann: {password: x}}}}, {type: none}]\n";
    let rules = |read: &str| {
        let all = "'*': {create: true, read: READ, write: true, delete: true, listen: true, notify: true}"
            .replace("READ", read);
        format!(
            "permission: {{type: config, options: {{permissions: {{record: {{{all}}}, event: {{'*': {{publish: true, subscribe: \
             true, listen: true}}}}, rpc: {{'*': {{provide: true, request: true}}}}, presence: {{'*': {{allow: true}}}}}}}}}}\n"
        )
    };
    for (text, open) in [
        (String::new(), Some("nobody has to log in, and everybody may do everything")),
        (rules("true"), Some("nobody has to log in, and everybody may do everything")),
        (rules("user.id"), Some("nobody has to log in")),
        (FILE.to_owned(), Some("everybody who is logged in may do everything")),
        (format!("{FILE}{}", rules("true")), Some("everybody who is logged in may do everything")),
        (format!("{FILE}{}", rules("user.id")), None),
        (format!("{BOTH}{}", rules("user.id")), Some("nobody has to log in")),
    ] {
        assert_eq!(good(&text).config.is_open(), open, "{text}");
    }
    let mqtt = "connectionEndpoints: [{type: mqtt, options: {host: 0.0.0.0}}]";
    let config = good(mqtt).config;
    assert!(config.allows_remote(ListenerKind::Mqtt) && !config.allows_remote(ListenerKind::Web));
    assert!(good("httpServer: {options: {protectedMode: false}}").config.allows_remote(ListenerKind::Mqtt));
    assert!(good("httpServer: {options: {host: localhost}}").config.allows_remote(ListenerKind::Web));
}

#[test]
fn tables_of_users_are_apart_and_such_as_storage_keeps() {
    let auth = |tables: &[&str]| {
        let entries: Vec<String> =
            tables.iter().map(|table| format!("{{type: storage, options: {{table: '{table}'}}}}")).collect();
        format!("auth: [{}]\n", entries.join(", "))
    };
    let postgres = "storage: {name: postgres, options: {user: u}}\n";
    assert_eq!(
        good(&auth(&["users", "users2"])).config.permissions(0).guarded,
        [&b"users/"[..], b"users2/"].map(Into::into)
    );
    let said = |text: &str| {
        read(Path::new("config.yml"), text, &StartArguments::default(), &|_| None).unwrap_err().to_string()
    };
    assert!(said(&auth(&["users", "users/admins"])).contains("the table lies below users"));
    for (table, words) in [("default", "table of names without a slash"), ("a;b", "left out"), ("/a", "no table")] {
        let said = said(&format!("{}{postgres}", auth(&[table])));
        assert!(said.contains("no user can be kept there") && said.contains(words), "{said}");
    }
    good(&format!("{}{postgres}", auth(&["users"])));
}
