//! Collects the body of a request as it arrives, and decompresses it if necessary.
//!
//! *Promises* that what is kept never exceeds the limit, however well it was compressed.

use flate2::write::{GzDecoder, ZlibDecoder};
use hyper::HeaderMap;
use hyper::header::CONTENT_ENCODING;
use std::io::{self, ErrorKind, Write};

/// The compression of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// `gzip`.
    Gzip,
    /// `deflate`, which is zlib's format.
    Deflate,
}

impl Coding {
    /// The coding that the head of a request names; an unknown one is the error.
    pub fn of(headers: &HeaderMap) -> Result<Self, String> {
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let Some(coding) = codings.next() else { return Ok(Self::Identity) };
        let name = String::from_utf8_lossy(coding.as_bytes()).trim().to_ascii_lowercase();
        match (name.as_str(), codings.next()) {
            ("identity" | "", None) => Ok(Self::Identity),
            ("gzip" | "x-gzip", None) => Ok(Self::Gzip),
            ("deflate", None) => Ok(Self::Deflate),
            (_, None) => Err(name),
            (_, Some(_)) => Err("of several steps".to_owned()),
        }
    }
}

/// Why a body is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is above the limit, as it is or decompressed.
    TooLarge,
    /// It cannot be decompressed.
    Broken,
}

/// See the module.
#[derive(Debug)]
pub struct Body(Inner);

#[derive(Debug)]
enum Inner {
    Plain(Bounded),
    Gzip(GzDecoder<Bounded>),
    Deflate(ZlibDecoder<Bounded>),
}

impl Body {
    /// An empty one.
    pub fn new(coding: Coding, bytes_max: usize) -> Self {
        let whole = Bounded { bytes: Vec::new(), bytes_max };
        Self(match coding {
            Coding::Identity => Inner::Plain(whole),
            Coding::Gzip => Inner::Gzip(GzDecoder::new(whole)),
            Coding::Deflate => Inner::Deflate(ZlibDecoder::new(whole)),
        })
    }

    /// A part of it arrived.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let writer: &mut dyn Write = match &mut self.0 {
            Inner::Plain(whole) => whole,
            Inner::Gzip(decoder) => decoder,
            Inner::Deflate(decoder) => decoder,
        };
        writer.write_all(bytes).map_err(|error| flaw(&error))
    }

    /// Bytes of it that are kept.
    pub fn kept_bytes(&self) -> usize {
        let whole = match &self.0 {
            Inner::Plain(whole) => whole,
            Inner::Gzip(decoder) => decoder.get_ref(),
            Inner::Deflate(decoder) => decoder.get_ref(),
        };
        whole.bytes.len()
    }

    /// All of it has arrived.
    pub fn finish(self) -> Result<Vec<u8>, Flaw> {
        let whole = match self.0 {
            Inner::Plain(whole) => Ok(whole),
            Inner::Gzip(decoder) => decoder.finish(),
            Inner::Deflate(decoder) => decoder.finish(),
        };
        whole.map(|whole| whole.bytes).map_err(|error| flaw(&error))
    }
}

fn flaw(error: &io::Error) -> Flaw {
    if error.kind() == ErrorKind::FileTooLarge { Flaw::TooLarge } else { Flaw::Broken }
}

/// Collects bytes, and fails above the limit.
#[derive(Debug)]
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.bytes_max - self.bytes.len() {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use hyper::header::HeaderValue;

    fn packed(coding: Coding, text: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Identity => text.to_vec(),
            Coding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    fn read(coding: Coding, bytes: &[u8], step: usize, bytes_max: usize) -> Result<Vec<u8>, Flaw> {
        let mut body = Body::new(coding, bytes_max);
        bytes.chunks(step).try_for_each(|chunk| body.push(chunk))?;
        body.finish()
    }

    const CODINGS: [Coding; 3] = [Coding::Identity, Coding::Gzip, Coding::Deflate];

    #[test]
    fn bodies_are_the_same_however_they_are_packed_and_cut() {
        let text = br#"{"body":[{"topic":"event","action":"emit","eventName":"e"}]}"#.repeat(5);
        for coding in CODINGS {
            let bytes = packed(coding, &text);
            for step in [1, 7, bytes.len()] {
                assert_eq!(read(coding, &bytes, step, text.len()).as_deref(), Ok(&text[..]), "{coding:?}");
                assert_eq!(read(coding, &bytes, step, text.len() - 1), Err(Flaw::TooLarge), "{coding:?}");
            }
        }
    }

    #[test]
    fn little_that_would_be_much_is_not_unpacked() {
        let text = vec![b' '; 64 << 20];
        for coding in [Coding::Gzip, Coding::Deflate] {
            let bytes = packed(coding, &text);
            assert!(bytes.len() < 1 << 20);
            assert_eq!(read(coding, &bytes, 16384, 1 << 20), Err(Flaw::TooLarge));
        }
    }

    #[test]
    fn what_is_cut_short_or_damaged_is_told() {
        for coding in [Coding::Gzip, Coding::Deflate] {
            let bytes = packed(coding, b"some text that is long enough to be cut");
            for len in 0..bytes.len() {
                assert_eq!(read(coding, &bytes[..len], 100, 1000), Err(Flaw::Broken), "{coding:?} {len}");
            }
            let mut damaged = bytes.clone();
            let last = damaged.len() - 1;
            damaged[last] ^= 1;
            assert_eq!(read(coding, &damaged, 100, 1000), Err(Flaw::Broken), "{coding:?}");
            assert_eq!(read(coding, b"no such format", 100, 1000), Err(Flaw::Broken));
        }
    }

    #[test]
    fn codings_are_named_in_any_case_and_one_at_a_time() {
        let of = |names: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for name in names {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(name));
            }
            Coding::of(&headers)
        };
        assert_eq!(of(&[]), Ok(Coding::Identity));
        assert_eq!(of(&["identity"]), Ok(Coding::Identity));
        assert_eq!(of(&["GZip"]), Ok(Coding::Gzip));
        assert_eq!(of(&["deflate"]), Ok(Coding::Deflate));
        assert_eq!(of(&["br"]), Err("br".to_owned()));
        assert!(of(&["gzip, gzip"]).is_err());
        assert!(of(&["gzip", "gzip"]).is_err());
    }
}
