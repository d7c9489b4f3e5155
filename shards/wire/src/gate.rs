//! Decides which connections are accepted at all, before their requests are looked at.
//!
//! *Owns* the check of the `Origin` and `Host` that browsers send, the same for HTTP and WebSocket, and the words of
//! refusals. *Promises* to check only browsers: they send the origin of a page, which the page cannot forge, while
//! other programs could send any, so a request without one passes. *Does not* log anybody in.

/// The answer to a request with another Host.
pub const FORBIDDEN_HOST: &str = "Forbidden Host.";

/// What is required of all connections of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// If set, every connection is refused with this message.
    pub closed: Option<Box<str>>,
    /// The pages that are accepted; `None`: all.
    pub pages: Option<Pages>,
}

/// Pages of browsers that are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Their origins.
    pub origins: Vec<String>,
    /// The Host that their requests must name; `None`: any.
    pub host: Option<String>,
}

impl Pages {
    /// Why a request with these headers is refused, if it is. `header` gives all values of the header of a name.
    pub fn refusal<'h, V: Iterator<Item = &'h [u8]>>(&self, header: impl Fn(&'static str) -> V) -> Option<String> {
        let mut named = header("origin").peekable();
        let mut referers = header("referer");
        // Some old browsers only send the address of the page.
        let referer = if named.peek().is_none() { referers.next().map(origin_of) } else { None };
        let mut origins = named.chain(referer).peekable();
        origins.peek()?;
        let hosts = || header("host").all(|host| self.host.as_deref().is_none_or(|own| own.as_bytes() == host));
        if !hosts() {
            return Some(FORBIDDEN_HOST.to_owned());
        }
        let foreign = origins.find(|origin| !self.admits(origin))?;
        Some(format!("Origin \"{}\" is forbidden.", String::from_utf8_lossy(foreign).escape_debug()))
    }

    /// Whether pages of an origin are accepted.
    pub fn admits(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|own| own.as_bytes() == origin)
    }
}

/// Scheme, host and port of an address.
fn origin_of(address: &[u8]) -> &[u8] {
    let host_at = address.windows(3).position(|part| part == b"://").map_or(0, |at| at + 3);
    let end = address[host_at..].iter().position(|byte| b"/?#".contains(byte));
    &address[..end.map_or(address.len(), |end| host_at + end)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(host: Option<&str>, headers: &[(&str, &'static str)]) -> Option<String> {
        let origins = ["https://good.example".to_owned(), "http://also.example:8080".to_owned()];
        let pages = Pages { origins: origins.into(), host: host.map(str::to_owned) };
        pages.refusal(|name| {
            let of_name: Vec<&[u8]> =
                headers.iter().filter(|(own, _)| *own == name).map(|(_, value)| value.as_bytes()).collect();
            of_name.into_iter()
        })
    }

    #[test]
    fn pages_pass_by_their_origin_and_others_by_having_none() {
        for (headers, refused) in [
            (&[][..], None),
            (&[("host", "any")], None),
            (&[("origin", "https://good.example")], None),
            (&[("origin", "http://also.example:8080")], None),
            (&[("origin", "https://evil.example")], Some("Origin \"https://evil.example\" is forbidden.")),
            (
                &[("origin", "https://good.example.evil.example")],
                Some("Origin \"https://good.example.evil.example\" is forbidden."),
            ),
            (&[("origin", "http://good.example")], Some("Origin \"http://good.example\" is forbidden.")),
            (&[("origin", "null")], Some("Origin \"null\" is forbidden.")),
            (&[("origin", "")], Some("Origin \"\" is forbidden.")),
            (
                &[("origin", "https://good.example"), ("origin", "https://evil.example")],
                Some("Origin \"https://evil.example\" is forbidden."),
            ),
            (&[("referer", "https://good.example/page?x=https://evil.example")], None),
            (
                &[("referer", "https://evil.example/https://good.example")],
                Some("Origin \"https://evil.example\" is forbidden."),
            ),
            (&[("referer", "https://evil.example/"), ("origin", "https://good.example")], None),
        ] {
            assert_eq!(refusal(None, headers).as_deref(), refused, "{headers:?}");
        }
    }

    #[test]
    fn pages_have_to_name_the_host_too() {
        let good = ("origin", "https://good.example");
        assert_eq!(refusal(Some("own.example"), &[good, ("host", "own.example")]), None);
        assert_eq!(refusal(Some("own.example"), &[good, ("host", "10.0.0.1")]).as_deref(), Some("Forbidden Host."));
        assert_eq!(refusal(Some("own.example"), &[("host", "10.0.0.1")]), None, "who is no page passes");
    }
}
