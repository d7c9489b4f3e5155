//! Environment variables in configuration files: one value each, whatever it contains, and nobody sees it.

use super::tests::Scratch;
use super::*;
use crate::credentials::KeySource;
use std::time::Duration;

/// What stopped a start, or started it with another secret, while variables were pasted into the text.
const VALUES: &[&str] = &[
    "pa55 #1",
    "\"quoted\"",
    "'single'",
    "  leading and trailing  ",
    "12345678",
    "0x1f",
    "007",
    "1e3",
    "true",
    "no",
    "null",
    "~",
    "2026-11-30",
    "x: y",
    "{a}",
    "[a, b]",
    "%TAG",
    "- a",
    "& * ! | > @ `",
    "a\nb: c",
    "a\\b\\n",
    "${OTHER}",
    "fileLoad(x)",
    "ümlaut 😀",
    "\u{e000}\u{e001}",
];

fn given(text: &str, file: &Path, variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let environment =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    read(file, text, &StartArguments::default(), &environment)
}

fn secret(loaded: &Loaded) -> String {
    match loaded.config.auth[0].get() {
        Some(JwtAuth { keys: KeySource::Secret(secret), .. }) => secret.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_secret_is_what_the_variable_holds_in_every_style() {
    let (yaml, json) = (Path::new("/etc/ds/config.yml"), Path::new("/etc/ds/config.json"));
    for value in VALUES {
        for (file, text) in [
            (yaml, "auth:\n  - type: jwt\n    options:\n      secret: ${SECRET}\n"),
            (yaml, "auth:\n  - type: jwt\n    options:\n      secret: ${ SECRET } # why\n"),
            (yaml, "auth:\n  - type: jwt\n    options:\n      secret: \"${SECRET}\"\n"),
            (yaml, "auth:\n  - type: jwt\n    options:\n      secret: '${SECRET}'\n"),
            (yaml, "auth:\n  - type: jwt\n    options:\n      secret: |-\n        ${SECRET}\n"),
            (yaml, "auth: [{type: jwt, options: {secret: ${SECRET}}}]"),
            (json, "{\"auth\": [{\"type\": \"jwt\", \"options\": {\"secret\": \"${SECRET}\"}}]}"),
            (json, "{\"auth\": [{\"type\": \"jwt\", \"options\": {\"secret\": ${SECRET}}}]}"),
        ] {
            let loaded = given(text, file, &[("SECRET", value)]);
            assert_eq!(secret(&loaded.unwrap_or_else(|errors| panic!("{text}{value}\n{errors}"))), **value, "{text}");
        }
        let text = "auth: [{type: jwt, options: {secret: a-${SECRET}${B}-$${B}}}]";
        let loaded = given(text, yaml, &[("SECRET", value), ("B", "b")]).unwrap();
        assert_eq!(secret(&loaded), format!("a-{value}b-$b"));
    }
}

#[test]
fn a_number_that_is_a_text_is_the_text_that_was_written() {
    let file = Path::new("config.yml");
    for spelled in ["12345678", "0x1f", "007", "1e3", "1.50", "true", "+5", "0o17"] {
        let text = format!("auth: [{{type: jwt, options: {{secret: {spelled}}}}}]");
        assert_eq!(secret(&given(&text, file, &[]).unwrap()), spelled);
        let text = format!("storage: {{name: postgres, options: {{user: u, password: {spelled}}}}}");
        let storage = given(&text, file, &[]).unwrap().config.storage;
        let postgres: &Postgres = storage.kept().unwrap().get().unwrap();
        assert_eq!(postgres.password.as_deref(), Some(spelled));
        let text = format!("record: {{storageExclusionPrefixes: [{spelled}, ${{X}}]}}");
        let prefixes = given(&text, file, &[("X", "010")]).unwrap().config.record.storage_exclusion_prefixes;
        assert_eq!(prefixes, [spelled, "010"]);
    }
    let json = given("{\"serverName\": 1.50}", Path::new("c.json"), &[]).unwrap();
    assert_eq!(json.config.server_name, "1.50");
}

#[test]
fn a_variable_is_a_number_where_one_is_asked_for() {
    let file = Path::new("config.yml");
    let text = "httpServer: {options: {port: ${PORT}}}\nenabledFeatures: {rpc: ${RPC}}\nlogLevel: ${LEVEL}\n\
                rpc:\n  ackTimeout: ${SECONDS}000\n  responseTimeout: ${ SECONDS }500 # ms\nlimits: {nameBytesMax: ${HEX}}\n\
                connectionEndpoints:\n  - type: ${KIND}\n    options: {unauthenticatedClientTimeout: ${NEVER}}\n  - ${NONE}\n\
                cores: {count: ${COUNT}, shards: ${SHARDS}}\n";
    let variables = [
        ("PORT", "7001"),
        ("RPC", "false"),
        ("LEVEL", "warn"),
        ("SECONDS", "3"),
        ("HEX", "0x10"),
        ("KIND", "ws-binary"),
        ("NEVER", "false"),
        ("COUNT", " 2 "),
        ("SHARDS", "0-1"),
    ];
    let config = given(text, file, &variables).unwrap_or_else(|errors| panic!("{errors}")).config;
    assert_eq!((config.http.port, config.features.rpc, config.log.level), (7001, false, Level::Warn));
    assert_eq!(
        (config.rpc.ack_timeout, config.rpc.response_timeout),
        (Duration::from_secs(3), Duration::from_millis(3500))
    );
    assert_eq!((config.limits.name_bytes_max, config.cores.count), (16, Some(2)));
    assert!(config.endpoints[0].unauthenticated_client_timeout.is_none());
    let json = "{\"httpServer\": {\"options\": {\"port\": ${PORT}, \"host\": \"${HOST}\"}}}";
    let http = given(json, Path::new("c.json"), &[("PORT", "7"), ("HOST", "::1")]).unwrap().config.http;
    assert_eq!((http.port, http.host.as_str()), (7, "::1"));
}

#[test]
fn what_a_variable_holds_is_in_no_message() {
    let (file, hidden) = (Path::new("config.yml"), "hunter2-Zq");
    let variables = [("A", hidden), ("LIST", "[hunter2-Zq]"), ("SECTION", "hunter2-Zq: 1\nb: 2"), ("B", "x")];
    for (text, said) in [
        (
            "httpServer: {options: {port: ${A}}}",
            "config.yml:1: httpServer.options.port: expected a whole number from 1 to 65535, found the value of the environment variable A",
        ),
        (
            "httpServer:\n  options:\n    port: 1${A}${B}\n",
            "config.yml:3: httpServer.options.port: expected a whole number from 1 to 65535, found the values of the environment variables A, B",
        ),
        ("enabledFeatures: {rpc: \"${A}\"}", "found the value of the environment variable A"),
        ("storage: {type: ${A}}", "config.yml:1: storage.type: unknown type \"${A}\"; known here"),
        ("storage: {type: default, options: {durability: x-${A}}}", "found the value of the environment variable A"),
        ("cores: {shards: ${A}}", "expected auto, physical, isolated, all or a list of CPUs"),
        ("storage: {name: postgres, options: {user: u, connectionString: ${A}}}", "the environment variable A"),
        ("storage: {name: postgres, options: {user: u, connectionString: hunter2-Zq}}", "found another value"),
        (
            "auth: [{type: file, options: {hash: md5, iterations: 1, keyLength: 32, users: {a: {password: ${A}}}}}]",
            "no password has this hash",
        ),
        ("auth: [{type: http, options: {endpointUrl: ${A}}}]", "the environment variable A"),
        ("auth: [{type: jwt, options: {publicKey: ${A}}}]", "this is not the PEM text"),
        ("auth: [{type: jwt, options: {secret: [hunter2-Zq]}}]", "expected text, found a list"),
        ("auth: [{type: jwt, options: {jwks: hunter2-Zq}}]", "found another value"),
        ("auth: [{type: jwt, options: {secret: a, algorithms: [${A}]}}]", "\"${A}\" is no algorithm"),
        ("${A}: 1", "config.yml:1: ${A}: unknown key"),
        ("record:\n  ${A}: 1\n", "config.yml:2: record.${A}: unknown key"),
        (
            "permission:\n  type: config\n  options:\n    permissions: ${A}\n",
            "found the value of the environment variable A",
        ),
        (
            "httpServer: {options: {allowAllOrigins: false, origins: ${LIST}}}",
            "a variable stands for one value, not for a list or a section: write those here",
        ),
        ("plugins: ${LIST}", "JavaScript plugins cannot be loaded"),
        (
            "rpc: ${SECTION}",
            "config.yml:1: rpc: expected a section of keys, found the value of the environment variable SECTION; a variable stands",
        ),
        (
            "${SECTION}\nlogLevel: 1\n",
            "${SECTION} stands for one value, which is put in once the file was read: keys and sections must be written",
        ),
        ("limits: {${A}: 1, ${C}: 2}", "config.yml:1: limits.${A}: unknown key"),
    ] {
        let errors = given(text, file, &variables).expect_err(text).to_string();
        assert!(errors.contains(said), "{text}\n{errors}");
        assert!(!errors.contains("unter2"), "{text}\n{errors}");
    }
    // A value that is no secret is shown, as it is written.
    let errors = given("httpServer: {options: {port: 0x0}}", file, &[]).unwrap_err().to_string();
    assert!(errors.ends_with("found 0x0"), "{errors}");
}

#[test]
fn loaded_files_and_their_names_go_by_the_same_law() {
    let scratch = Scratch::new("variables");
    scratch.write("sub/users.yml", "# ${COMMENT}\n${NAME}:\n  password: ${PASSWORD}\n  serverData: {level: ${LEVEL}, tag: \"${LEVEL}\", raw: \"${NOPE}\"}\n007: {password: 0123}\n");
    scratch.write("key.txt", "a ${PASSWORD} b");
    let config = scratch.path().join("config.yml");
    let text = "auth:\n  - type: file\n    options:\n      users: fileLoad(${DIR}/users.yml)\n  - type: jwt\n    options: {secret: x-fileLoad(key.txt)}\n\
                storage: {options: {directory: file(${DIR}/db #1)}}\n";
    let variables = [("DIR", "sub"), ("NAME", "ann: x"), ("PASSWORD", "#1: {"), ("LEVEL", "3")];
    let loaded = given(text, &config, &variables).unwrap_or_else(|errors| panic!("{errors}"));
    let file: &FileAuth = loaded.config.auth[0].get().unwrap();
    let [ann, seven] = &file.users[..] else { panic!("{:?}", file.users) };
    assert_eq!((ann.name.as_str(), ann.password.as_str()), ("ann: x", "#1: {"));
    let data: serde_json::Value = serde_json::from_str(ann.server_data.as_deref().unwrap()).unwrap();
    assert_eq!(data, serde_json::json!({"level": 3, "tag": "3", "raw": "${NOPE}"}));
    assert_eq!((seven.name.as_str(), seven.password.as_str()), ("007", "0123"));
    let Some(JwtAuth { keys: KeySource::Secret(secret), .. }) = loaded.config.auth[1].get() else { panic!() };
    assert_eq!(secret, "x-a #1: { b");
    let directory = loaded.config.storage.kept().unwrap().directory().unwrap();
    assert_eq!(directory, scratch.path().join("sub/db #1"));
    assert_eq!(loaded.unset, [], "what a loaded file does not get stays as it is");
    // A key of two names, and a section inside of a text.
    scratch.write("twice.yml", "${NAME}: {password: a}\n${OTHER}: {password: b}\n");
    for (text, said) in [
        (
            "auth: {type: file, options: {users: fileLoad(twice.yml)}}",
            "twice.yml:2: ${OTHER} is the same key as another",
        ),
        (
            "serverName: a fileLoad(sub/users.yml)",
            "config.yml:1: fileLoad(sub/users.yml) is a part of a text, but stands for more",
        ),
    ] {
        let errors = given(text, &config, &[("NAME", "ann"), ("OTHER", "ann"), ("PASSWORD", "p"), ("LEVEL", "1")])
            .unwrap_err()
            .to_string();
        assert!(errors.contains(said), "{errors}");
    }
}

#[test]
fn rules_get_variables_as_values_and_are_placed_where_they_stand() {
    let scratch = Scratch::new("variables-rules");
    let open = "event: {'*': {}}\nrpc: {'*': {}}\npresence: {'*': {}}\n";
    let config = scratch.path().join("config.yml");
    let text = "permission: {type: config, options: {permissions: fileLoad(p.yml)}}";
    scratch.write(
        "p.yml",
        &format!(
            "record:\n  '*': {{read: ${{ALLOW}}}}\n  ${{PATH_OF}}: {{write: \"user.id === '${{WHO}}' # \"}}\n{open}"
        ),
    );
    let variables = [("ALLOW", "true"), ("PATH_OF", "a/$x"), ("WHO", "ann: #1")];
    let errors = given(text, &config, &variables).unwrap_err().to_string();
    assert!(errors.contains("p.yml:3:") && errors.contains("record \"a/$x\" write: SyntaxError"), "{errors}");
    scratch.write(
        "p.yml",
        &format!("record:\n  '*': {{read: ${{ALLOW}}}}\n  ${{PATH_OF}}: {{write: \"user.id === '${{WHO}}'\"}}\n{open}"),
    );
    let rules = given(text, &config, &variables).unwrap().config.permission.rules.unwrap().ruleset;
    assert_eq!(rules.rules()[1].program.text(), "user.id === 'ann: #1'");
    assert!(rules.is_open(deepstream_valve::Right::RecordRead));
}

#[test]
fn nothing_in_comments_counts_and_everything_in_block_texts() {
    let file = Path::new("config.yml");
    let text = "# ${NOPE} fileLoad(nope.yml)\nserverName: >-\n  a # ${A}\n  'b ${A}\nlogLevel: 2 # '${NOPE}\n";
    let loaded = given(text, file, &[("A", "1 # 2")]).unwrap();
    assert_eq!(loaded.config.server_name, "a # 1 # 2 'b 1 # 2");
    assert_eq!(loaded.unset, []);
}

#[test]
fn a_quote_in_a_block_of_text_does_not_make_a_text_of_the_next_number() {
    let text = "serverName: |\n  \"it's\nhttpServer: {options: {port: ${PORT}}}\n";
    let loaded = given(text, Path::new("c.yml"), &[("PORT", "7000")]).unwrap();
    assert_eq!((loaded.config.http.port, loaded.config.server_name.as_str()), (7000, "\"it's\n"));
}

#[test]
fn variables_that_are_not_set_are_named_once() {
    let said = |text: &str| given(text, Path::new("c.yml"), &[]).unwrap_err().to_string();
    let one = said("limits: {connectionsMax: \"${A}${A}\"}");
    assert!(one.ends_with("the environment variable A is not set"), "{one}");
    let two = said("limits: {connectionsMax: \"${B}${A}${B}\"}");
    assert!(two.ends_with("the environment variables A, B are not set"), "{two}");
}

#[test]
fn keys_and_addresses_with_passwords_are_not_shown() {
    for text in [
        "auth: {type: jwt, options: {secret: a, publicKey: pa55word}}",
        "storage: {name: postgres, options: 'postgres://ann:pa55word@host/db'}",
        "auth: {type: http, options: {endpointUrl: 'ftp://ann:pa55word@host/'}}",
    ] {
        let said = given(text, Path::new("c.yml"), &[]).unwrap_err().to_string();
        assert!(said.contains("found another value") && !said.contains("pa55"), "{said}");
    }
}
