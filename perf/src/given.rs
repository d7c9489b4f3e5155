//! Records that a server has before a scenario begins: what its rules refer to.
//!
//! *Promises* that all of them are there, or to say what the server said instead. *Does not* take part in what is measured.

use crate::scenario::Scenario;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Writes them, in one request to the HTTP API.
pub(crate) fn give(scenario: &Scenario, address: SocketAddr) -> Result<(), String> {
    if scenario.given.is_empty() {
        return Ok(());
    }
    let answer = ask(address, &body(scenario)).map_err(|error| format!("the given records: {error}"))?;
    let is_done = answer
        .split_once("\r\n\r\n")
        .is_some_and(|(_, body)| serde_json::from_str::<Value>(body).is_ok_and(|body| body["result"] == "SUCCESS"));
    is_done.then_some(()).ok_or_else(|| format!("the given records were not written: {answer}"))
}

fn body(scenario: &Scenario) -> String {
    let write = |(name, data): (&String, &Value)| json!({"topic": "record", "action": "write", "recordName": name, "data": data});
    let writes: Vec<Value> = scenario.given.iter().map(write).collect();
    json!({"authData": scenario.login, "body": writes}).to_string()
}

fn ask(address: SocketAddr, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let length = body.len();
    write!(
        stream,
        "POST /api HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::read;
    use std::net::TcpListener;
    use std::thread;

    const TEXT: &str = "name: x\nabout: y\nshows: rate\nidle_connections: 1\nlogin: {username: load}\n\
                        given: {limits/1: {open: true}}\n";

    /// Serves one request with this answer; gives what was asked.
    fn served(answer: &'static str) -> (SocketAddr, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a request");
            let mut asked = Vec::new();
            let mut piece = [0; 1024];
            while !asked.ends_with(b"}") {
                let read = stream.read(&mut piece).expect("readable");
                asked.extend_from_slice(&piece[..read]);
            }
            stream.write_all(answer.as_bytes()).expect("writable");
            String::from_utf8(asked).expect("text")
        });
        (address, server)
    }

    #[test]
    fn records_are_written_by_whom_the_scenario_logs_in() {
        let scenario = read(TEXT).expect("right");
        let (address, server) = served("HTTP/1.1 200 OK\r\n\r\n{\"result\":\"SUCCESS\"}\r\n\r\n");
        assert_eq!(give(&scenario, address), Ok(()));
        let asked = server.join().expect("served");
        let body: Value = serde_json::from_str(asked.rsplit("\r\n\r\n").next().expect("a body")).expect("JSON");
        assert_eq!(body["authData"]["username"], "load");
        assert_eq!(
            (&body["body"][0]["recordName"], &body["body"][0]["data"]["open"]),
            (&json!("limits/1"), &json!(true))
        );
    }

    #[test]
    fn a_server_that_does_not_write_them_is_not_measured() {
        let scenario = read(TEXT).expect("right");
        let (address, server) = served("HTTP/1.1 200 OK\r\n\r\n{\"result\":\"FAILURE\",\"body\":[\"denied\"]}");
        assert!(give(&scenario, address).expect_err("refused").contains("denied"));
        server.join().expect("served");
    }
}
