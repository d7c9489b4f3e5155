//! Who is let in at all, before anybody looks at what they want.
//!
//! *Owns* the one judgement over pages of browsers, by which HTTP and WebSocket go alike, and the words of refusals.
//! *Promises* that whoever is no page passes: a browser names the origin of a page with everything the page may not forge,
//! and other programs could write there what they like. *Does not* log anybody in.

/// To a page that names another Host.
pub const FORBIDDEN_HOST: &str = "Forbidden Host.";

/// What holds for all who come to a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Nobody is let in, and told this.
    pub closed: Option<Box<str>>,
    /// The pages that are let in; `None`: all.
    pub pages: Option<Pages>,
}

/// Pages of browsers that are let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Where they may come from.
    pub origins: Vec<String>,
    /// The Host that they must name; `None`: any.
    pub host: Option<String>,
}

impl Pages {
    /// Why whoever sent these headers is not let in. `header` gives all values of the header of a name.
    pub fn refusal<'h, V: Iterator<Item = &'h [u8]>>(&self, header: impl Fn(&'static str) -> V) -> Option<String> {
        let mut named = header("origin").peekable();
        let mut referers = header("referer");
        // Of old browsers some say only at which page they are.
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

    /// Whether pages of an origin are let in.
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
