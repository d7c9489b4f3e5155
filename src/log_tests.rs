use super::*;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

fn form(format: LogFormat, color: bool) -> Form {
    let (process, host) = (7, "box".to_owned());
    Form { format, stamp_out: false, stamp_err: false, color_out: color, color_err: color, process, host }
}

fn text(form: &Form, level: Level, namespace: &str, event: &str, message: &str) -> String {
    String::from_utf8(form.line(level, (namespace, ""), event, message)).unwrap()
}

#[test]
fn a_line_is_event_and_message_and_nothing_else() {
    let plain = form(LogFormat::Human, false);
    assert_eq!(text(&plain, Level::Info, "", "INFO", "Deepstream started"), "INFO | Deepstream started\n");
    assert_eq!(text(&plain, Level::Warn, "PERMISSION", "ERROR", "no"), "PERMISSION | ERROR | no\n");
    let coloured = form(LogFormat::Human, true);
    assert_eq!(text(&coloured, Level::Info, "", "INFO", "x"), "\x1b[32mINFO | x\x1b[39m\n");
    assert_eq!(text(&coloured, Level::Error, "", "INFO", "x"), "\x1b[31mINFO | x\x1b[39m\n");
}

#[test]
fn names_from_the_network_cannot_forge_lines_or_reach_the_terminal() {
    let plain = form(LogFormat::Human, false);
    let line = text(&plain, Level::Info, "", "AUTH_SUCCESSFUL", "eve\nINFO | root\x1b[2J");
    assert_eq!(line, "AUTH_SUCCESSFUL | eve\\nINFO | root\\u{1b}[2J\n");
}

/// Characters that must not get into a line: control characters, ends of lines, and changes of the text direction.
const HOSTILE: &[char] = &[
    '\0', '\t', '\n', '\r', '\x1b', '\x7f', '\u{85}', '\u{9b}', '\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}',
    '\u{2029}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}',
];

#[test]
fn no_name_turns_a_line_around_or_ends_it_in_either_form() {
    let name: String = HOSTILE.iter().collect();
    for format in [LogFormat::Human, LogFormat::Json] {
        let line = text(&form(format, false), Level::Info, &name, &name, &format!("é😀{name}"));
        let line = line.strip_suffix('\n').unwrap();
        assert!(!line.contains(HOSTILE), "{line:?}");
        assert!(line.contains("é😀"), "what is a letter stays one: {line}");
        if format == LogFormat::Json {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["message"].as_str(), Some(&*format!("é😀{name}")));
        }
    }
    assert!(text(&form(LogFormat::Human, false), Level::Info, "", "E", "\u{202e}").contains("\\u{202e}"));
    assert!(text(&form(LogFormat::Json, false), Level::Info, "", "E", "\u{202e}").contains("\\u202e"));
}

#[test]
fn lines_begin_with_the_time_where_that_is_asked_for() {
    let stamped = Form { stamp_out: true, ..form(LogFormat::Human, true) };
    let line = text(&stamped, Level::Info, "", "INFO", "Deepstream started");
    let (time, rest) = line.split_once(' ').unwrap();
    assert_eq!(rest, "\x1b[32mINFO | Deepstream started\x1b[39m\n");
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
    // Standard output and standard error are decided separately.
    assert_eq!(text(&stamped, Level::Warn, "", "INFO", "x"), "\x1b[33mINFO | x\x1b[39m\n");
}

#[test]
fn a_file_is_told_from_what_stamps_lines_by_itself() {
    let path = std::env::temp_dir().join(format!("deepstream-log-{}", std::process::id()));
    assert!(is_file(std::fs::File::create(&path).unwrap()));
    std::fs::remove_file(path).unwrap();
    assert!(!is_file(std::fs::File::open("/dev/null").unwrap()));
    let (reader, _writer) = io::pipe().unwrap();
    assert!(!is_file(reader));
}

#[test]
fn json_lines_have_the_shape_of_pino() {
    let json = form(LogFormat::Json, true);
    let line = text(&json, Level::Warn, "MQTT", "ERROR", "say \"hi\"\n");
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    let keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    assert_eq!(line.matches('\n').count(), 1);
    assert!(line.starts_with("{\"level\":40,\"time\":1"), "{line}");
    assert_eq!(keys.len(), 7);
    assert_eq!((value["pid"].as_u64(), value["hostname"].as_str()), (Some(7), Some("box")));
    assert_eq!((value["namespace"].as_str(), value["message"].as_str()), (Some("MQTT"), Some("say \"hi\"\n")));
    assert!(!text(&json, Level::Fatal, "", "ERROR", "x").contains("namespace"));
    assert!(text(&json, Level::Fatal, "", "ERROR", "x").starts_with("{\"level\":60,"));
}

#[test]
fn an_address_is_a_field_of_json_lines() {
    let line = form(LogFormat::Json, false).line(Level::Info, ("", "2001:db8::7"), "AUTH_UNSUCCESSFUL", "no from x");
    let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
    assert_eq!((value["address"].as_str(), value["message"].as_str()), (Some("2001:db8::7"), Some("no from x")));
    let human = form(LogFormat::Human, false).line(Level::Info, ("", "::1"), "AUTH_UNSUCCESSFUL", "no from ::1");
    assert_eq!(human, b"AUTH_UNSUCCESSFUL | no from ::1\n");
}

#[test]
fn warnings_and_worse_go_to_the_error_stream_except_as_json() {
    for (level, err) in
        [(Level::Debug, false), (Level::Info, false), (Level::Warn, true), (Level::Error, true), (Level::Fatal, true)]
    {
        assert_eq!(form(LogFormat::Human, false).goes_to_err(level), err, "{level:?}");
        assert!(!form(LogFormat::Json, false).goes_to_err(level), "{level:?}");
    }
}

#[test]
fn levels_have_upstreams_numbers_and_names() {
    for (number, name) in [(0, "debug"), (1, "INFO"), (2, "Warn"), (3, "ERROR"), (4, "fatal"), (100, "OFF")] {
        assert_eq!(Level::from_number(number), Level::from_name(name));
        assert!(Level::from_number(number).is_some());
    }
    assert_eq!((Level::from_number(5), Level::from_name("loud")), (None, None));
}

/// A writer that passes on what is written, and blocks until it is opened.
struct Gate {
    open: Arc<Mutex<()>>,
    written: Sender<String>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _open = self.open.lock().unwrap();
        self.written.send(String::from_utf8_lossy(bytes).into_owned()).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_never_reads_does_not_keep_the_process_from_ending() {
    let (written, lines) = channel();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let out = || Box::new(Gate { open: Arc::clone(&gate), written: written.clone() });
    let (sink, guard) = sink(4, Output { form: form(LogFormat::Human, false), out: out(), err: out() });
    set_level(Level::Info);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(sink), || {
        note(Level::Fatal, "ERROR", "the last words");
    });
    // Returns although nothing can be written.
    drop(guard);
    assert!(lines.try_recv().is_err());
    drop(closed);
    assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), "ERROR | the last words\n");
}

#[test]
fn a_stuck_reader_costs_lines_that_are_counted_and_never_a_caller() {
    let (written, lines) = channel();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let output = Output {
        form: form(LogFormat::Human, false),
        out: Box::new(Gate { open: Arc::clone(&gate), written: written.clone() }),
        err: Box::new(Gate { open: Arc::clone(&gate), written }),
    };
    let (sink, guard) = sink(4, output);
    let subscriber = tracing_subscriber::registry().with(sink);
    set_level(Level::Info);
    tracing::subscriber::with_default(subscriber, || {
        for number in 0..100 {
            note(Level::Info, "INFO", &format!("line {number}"));
        }
        answer(Level::Info, "CENSUS", "was asked for");
        note(Level::Debug, "INFO", "below the level");
    });
    drop(closed);
    guard.flush();
    drop(guard);
    let lines: Vec<String> = lines.iter().collect();
    let (reports, kept): (Vec<&String>, Vec<&String>) =
        lines.iter().partition(|line| line.starts_with("LOG_LINES_DROPPED"));
    let dropped: usize = reports.iter().map(|line| line.split(' ').nth(2).unwrap().parse::<usize>().unwrap()).sum();
    assert!(dropped > 0, "{lines:?}");
    assert_eq!(kept.len() + dropped, 101, "{lines:?}");
    assert_eq!(kept[0], "INFO | line 0\n");
    assert_eq!(kept[kept.len() - 1], "CENSUS | was asked for\n");
}

#[test]
fn our_own_lines_are_heard_at_every_level_and_those_of_libraries_from_warnings_on() {
    let (written, lines) = channel();
    let out = || Box::new(Gate { open: Arc::default(), written: written.clone() });
    let (sink, guard) = sink(16, Output { form: form(LogFormat::Human, false), out: out(), err: out() });
    set_level(Level::Info);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(sink), || {
        note(Level::Info, "STORAGE", "storage is back");
        note(Level::Debug, "STORAGE", "below the level");
        note(Level::Error, "STORAGE", "storage cannot write");
        tracing::info!(target: "deepstream_other", "nobody wants to know");
        tracing::info!(target: "library", "nobody wants to know");
        tracing::warn!(target: "library", "something is wrong");
    });
    guard.flush();
    drop(guard);
    drop(written);
    let lines: Vec<String> = lines.iter().collect();
    let expected =
        ["STORAGE | storage is back\n", "STORAGE | storage cannot write\n", "library | WARN | something is wrong\n"];
    assert_eq!(lines.concat().lines().count(), 3, "{lines:?}");
    for line in expected {
        assert!(lines.concat().contains(line), "{line}: {lines:?}");
    }
}
