//! Every kind of engine, from its start to its end.

use engines::{Engine, Kind, Options, start};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Far longer than anything here takes, so it only ends a hang.
const PATIENCE: Duration = Duration::from_mins(2);

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process of this number is there and not merely waiting to be counted.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn connect(engine: &Engine) -> std::io::Result<TcpStream> {
    TcpStream::connect((engine.address(), engine.port()))
}

/// From start to end, in every state that an engine can be brought into.
fn lives(kind: Kind) {
    let engine = start(kind, &Options::default().tls(![Kind::Sentinel, Kind::Valkey].contains(&kind))).unwrap();
    let (port, pids) = (engine.port(), pids(&engine));
    assert!(connect(&engine).is_ok(), "{kind:?}");
    proves_who_it_is(&engine);

    engine.freeze().unwrap();
    for &pid in &pids {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        assert!(stat.contains(") T "), "{kind:?}: {stat}");
    }
    engine.thaw();

    for stop in [Engine::kill, Engine::end] {
        stop(&engine).unwrap();
        assert!(!pids.iter().any(|&pid| runs(pid)), "{kind:?}");
        assert!(connect(&engine).is_err(), "{kind:?}");
        assert_eq!(engine.pid(), None, "{kind:?}");
        engine.launch().unwrap();
        assert_eq!(engine.port(), port, "{kind:?}");
        assert!(connect(&engine).is_ok(), "{kind:?}");
    }

    // One that stands still can be ended, too.
    engine.freeze().unwrap();
    let (pids, directory) = (self::pids(&engine), engine.directory().to_owned());
    assert!(directory.exists(), "{kind:?}");
    drop(engine);
    assert!(!pids.iter().any(|&pid| runs(pid)), "{kind:?}");
    assert!(!directory.exists(), "{kind:?}");
}

/// With a certificate that only its own authority vouches for. NATS speaks before it turns to TLS, which the client here does not know.
fn proves_who_it_is(engine: &Engine) {
    let Some(files) = engine.certificates().filter(|_| engine.kind() != Kind::Nats) else { return };
    let client = |trusted: &Path| {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-verify_return_error", "-verify_hostname", "localhost", "-connect"]);
        client.arg(format!("127.0.0.1:{}", engine.secured().unwrap())).arg("-CAfile").arg(trusted);
        client.args(if engine.kind() == Kind::Postgres { &["-starttls", "postgres"][..] } else { &[] });
        client.stdin(Stdio::null()).output().unwrap().status.success()
    };
    assert!(client(&files.authority), "{:?}", engine.kind());
    let other = start(Kind::Redis, &Options::default().tls(true)).unwrap();
    assert!(!client(&other.certificates().unwrap().authority), "{:?}", engine.kind());
}

fn pids(engine: &Engine) -> Vec<u32> {
    engine.nodes().iter().map(|node| node.pid().unwrap()).collect()
}

/// The program as scripts use it.
struct Program {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Program {
    fn run(kind: Kind, more: &[&str]) -> (Self, serde_json::Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_engines"));
        command.args(["run", kind.name()]).args(more).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut program = Self { child, answers };
        let described = program.answer();
        (program, described)
    }

    fn order(&mut self, line: &str) -> serde_json::Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }
}

/// Processes whose directory of work is below this one, wherever they descend from.
fn working_below(directory: &Path) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let below = |pid: &u32| {
        std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|work| work.starts_with(directory)) && runs(*pid)
    };
    processes.filter(below).collect()
}

/// Nobody is left to clean up, and nothing is left.
fn leaves_nothing(kind: Kind, frozen: bool) {
    let (mut program, described) = Program::run(kind, &[]);
    let directory = Path::new(described["directory"].as_str().unwrap()).to_owned();
    let home = directory.parent().unwrap();
    assert!(!working_below(home).is_empty(), "{kind:?}");
    if frozen {
        assert_eq!(program.order("freeze")["done"], "freeze");
    }
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    until("the files of a test that was killed are gone", || !home.exists());
    assert_eq!(working_below(home), Vec::<u32>::new(), "{kind:?}");
}

#[test]
fn redis_lives() {
    lives(Kind::Redis);
}

#[test]
fn valkey_lives() {
    lives(Kind::Valkey);
}

#[test]
fn redis_cluster_lives() {
    lives(Kind::RedisCluster);
}

#[test]
fn redis_with_a_sentinel_lives() {
    lives(Kind::Sentinel);
}

#[test]
fn nats_lives() {
    lives(Kind::Nats);
}

#[test]
fn etcd_lives() {
    lives(Kind::Etcd);
}

#[test]
fn three_of_etcd_live() {
    lives(Kind::Etcd3);
}

#[test]
fn rabbit_lives() {
    lives(Kind::Rabbit);
}

#[test]
fn postgres_lives() {
    lives(Kind::Postgres);
}

#[test]
fn every_kind_leaves_nothing_when_the_test_is_killed() {
    for &kind in Kind::ALL {
        leaves_nothing(kind, false);
    }
}

#[test]
fn what_stands_still_when_the_test_is_killed_is_ended_too() {
    for kind in [Kind::Redis, Kind::Postgres] {
        leaves_nothing(kind, true);
    }
}

#[test]
fn what_an_engine_started_and_lost_sight_of_is_ended_too() {
    let (mut program, described) = Program::run(Kind::Redis, &[]);
    let directory = Path::new(described["directory"].as_str().unwrap());
    let mut lost = Command::new("sleep").arg("1000").current_dir(directory).spawn().unwrap();
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    until("what was lost sight of is ended", || lost.try_wait().unwrap().is_some());
    until("the files of a test that was killed are gone", || !directory.parent().unwrap().exists());
}

#[test]
fn four_at_a_time_do_not_meet() {
    let round = || {
        for _ in 0..5 {
            let engine = start(Kind::Redis, &Options::default()).unwrap();
            let other = start(Kind::Redis, &Options::default()).unwrap();
            assert_ne!(engine.port(), other.port());
            assert!(connect(&engine).is_ok() && connect(&other).is_ok());
        }
    };
    thread::scope(|scope| {
        let rounds: Vec<_> = (0..4).map(|_| scope.spawn(round)).collect();
        for round in rounds {
            round.join().unwrap();
        }
    });
}

#[test]
fn what_redis_wrote_is_there_when_it_was_started_again() {
    let options = Options::default().config("appendonly", "yes").config("appendfsync", "always");
    let engine = start(Kind::Redis, &options).unwrap();
    let ask = |question: &str, answer: &str| {
        let mut stream = connect(&engine).unwrap();
        stream.write_all(question.as_bytes()).unwrap();
        let mut answered = vec![0; answer.len()];
        stream.read_exact(&mut answered).unwrap();
        assert_eq!(String::from_utf8_lossy(&answered), answer);
    };
    ask("SET key value\r\n", "+OK\r\n");
    engine.kill().unwrap();
    engine.launch().unwrap();
    ask("GET key\r\n", "$5\r\nvalue\r\n");
}

#[test]
fn all_tests_of_a_process_share_an_engine() {
    let [one, other] = [(); 2].map(|()| engines::shared(Kind::Redis).unwrap());
    assert!(std::ptr::eq(one, other));
    assert!(connect(one).is_ok());
}

#[test]
fn the_program_obeys_its_input_and_ends_with_it() {
    let (mut program, described) = Program::run(Kind::Redis, &["--set", "maxmemory=12345678", "--tls"]);
    let port = described["port"].as_u64().unwrap() as u16;
    let ask = |question: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(question.as_bytes()).unwrap();
        let mut answer = [0; 1024];
        let len = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..len]).into_owned()
    };
    assert!(ask("CONFIG GET maxmemory\r\n").contains("12345678"));
    assert!(described["secured"].is_u64() && described["certificates"]["authority"].is_string());
    for order in ["kill", "launch", "freeze", "thaw", "end", "launch redis"] {
        assert_eq!(program.order(order)["done"], order);
    }
    assert_eq!(ask("PING\r\n"), "+PONG\r\n");
    for (order, error) in
        [("launch", None), ("dance", Some("there is no order dance")), ("kill x", Some("redis has no process x"))]
    {
        let answer = program.order(order);
        assert!(error.map_or(answer["done"] == order, |error| answer["error"] == error), "{answer}");
    }
    drop(program.child.stdin.take());
    assert!(program.child.wait().unwrap().success());
    assert!(!Path::new(described["directory"].as_str().unwrap()).exists());
}

#[test]
fn what_an_engine_cannot_do_is_said() {
    let (tls, password) = (Options::default().tls(true), Options::default().config("requirepass", "x"));
    for (kind, options) in
        [(Kind::Valkey, &tls), (Kind::Sentinel, &tls), (Kind::Sentinel, &password), (Kind::RedisCluster, &password)]
    {
        let error = start(kind, options).unwrap_err();
        assert!(error.contains("TLS") || error.contains("requirepass"), "{error}");
    }
}

#[test]
fn the_program_says_what_it_does_not_know() {
    let output = Command::new(env!("CARGO_BIN_EXE_engines")).args(["run", "mysql"]).output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.starts_with("engines: there is no engine mysql; there are redis, "), "{error}");
}
