//! A certificate for one engine, and the authority that signed it.

use crate::process::run;
use crate::program::on_path;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Files in PEM. The certificate is one for clients, too.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate: what clients are to trust.
    pub authority: PathBuf,
    /// The engine's certificate, for `localhost` and the address that it binds to.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Certificates {
    /// Made by `openssl` in this directory.
    pub(crate) fn new(directory: &Path, address: IpAddr) -> Result<Self, String> {
        let openssl = on_path("openssl")?;
        let call = |words: &str| {
            let mut command = Command::new(&openssl);
            command.args(words.split_whitespace()).current_dir(directory).stdin(Stdio::null());
            run(command)
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        let extensions = format!("subjectAltName=DNS:localhost,IP:{address}\nbasicConstraints=CA:FALSE\n");
        std::fs::write(directory.join("extensions"), extensions).map_err(|error| error.to_string())?;
        call(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 30 -subj /CN=Authority"))?;
        call(&format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost"))?;
        let signed = "-out server.pem -days 30 -extfile extensions";
        call(&format!("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial {signed}"))?;
        let [authority, certificate, key] = ["ca.pem", "server.pem", "server.key"].map(|name| directory.join(name));
        Ok(Self { authority, certificate, key })
    }
}
