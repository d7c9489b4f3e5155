//! *Owns* how passwords are hashed: PBKDF2, in the layout that upstream's `hash` command prints. *Promises* that hashes
//! made by upstream are verified here and the other way round, and that comparing two hashes takes the same time
//! wherever they differ. *Does not* decide who may log in.
//!
//! A hash is `base64(key) ++ base64(salt)` without a separator. The salt's *text* is what PBKDF2 is salted with, not
//! what it decodes to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pbkdf2::hmac::SimpleHmac;
use pbkdf2::{pbkdf2, pbkdf2_hmac};
use subtle::ConstantTimeEq;

/// A hash function under PBKDF2-HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum Digest {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512Cut224,
    Sha512Cut256,
    Sha3Of224,
    Sha3Of256,
    Sha3Of384,
    Sha3Of512,
    Ripemd160,
}

/// OpenSSL's names, as upstream takes them; the first of each is what we call it.
const NAMES: &[(Digest, &[&str])] = &[
    (Digest::Md5, &["md5", "RSA-MD5", "md5WithRSAEncryption", "ssl3-md5"]),
    (Digest::Sha1, &["sha1", "RSA-SHA1", "RSA-SHA1-2", "sha1WithRSAEncryption", "ssl3-sha1"]),
    (Digest::Sha224, &["sha224", "RSA-SHA224", "sha224WithRSAEncryption"]),
    (Digest::Sha256, &["sha256", "RSA-SHA256", "sha256WithRSAEncryption"]),
    (Digest::Sha384, &["sha384", "RSA-SHA384", "sha384WithRSAEncryption"]),
    (Digest::Sha512, &["sha512", "RSA-SHA512", "sha512WithRSAEncryption"]),
    (Digest::Sha512Cut224, &["sha512-224", "RSA-SHA512/224", "sha512-224WithRSAEncryption"]),
    (Digest::Sha512Cut256, &["sha512-256", "RSA-SHA512/256", "sha512-256WithRSAEncryption"]),
    (Digest::Sha3Of224, &["sha3-224", "RSA-SHA3-224", "id-rsassa-pkcs1-v1_5-with-sha3-224"]),
    (Digest::Sha3Of256, &["sha3-256", "RSA-SHA3-256", "id-rsassa-pkcs1-v1_5-with-sha3-256"]),
    (Digest::Sha3Of384, &["sha3-384", "RSA-SHA3-384", "id-rsassa-pkcs1-v1_5-with-sha3-384"]),
    (Digest::Sha3Of512, &["sha3-512", "RSA-SHA3-512", "id-rsassa-pkcs1-v1_5-with-sha3-512"]),
    (Digest::Ripemd160, &["ripemd160", "ripemd", "rmd160", "RSA-RIPEMD160", "ripemd160WithRSA"]),
];

/// Random bytes of a new salt.
const SALT_BYTES: usize = 16;

impl Digest {
    /// The digest of a name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let known = |(_, names): &&(Self, &[&str])| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        NAMES.iter().find(known).map(|&(digest, _)| digest)
    }

    /// What it is called here.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(digest, _)| *digest == self).map_or("", |(_, names)| names[0])
    }

    /// What they are called here.
    pub fn names() -> Vec<&'static str> {
        NAMES.iter().map(|(_, names)| names[0]).collect()
    }

    fn derive(self, password: &[u8], salt: &[u8], rounds: u32, key: &mut [u8]) {
        // SHA-3 has no state that can be reused between rounds, so the faster HMAC above does not work for it.
        macro_rules! sponge {
            ($digest:ty) => {
                pbkdf2::<SimpleHmac<$digest>>(password, salt, rounds, key).expect("HMAC takes keys of any length")
            };
        }
        match self {
            Self::Md5 => pbkdf2_hmac::<md5::Md5>(password, salt, rounds, key),
            Self::Sha1 => pbkdf2_hmac::<sha1::Sha1>(password, salt, rounds, key),
            Self::Sha224 => pbkdf2_hmac::<sha2::Sha224>(password, salt, rounds, key),
            Self::Sha256 => pbkdf2_hmac::<sha2::Sha256>(password, salt, rounds, key),
            Self::Sha384 => pbkdf2_hmac::<sha2::Sha384>(password, salt, rounds, key),
            Self::Sha512 => pbkdf2_hmac::<sha2::Sha512>(password, salt, rounds, key),
            Self::Sha512Cut224 => pbkdf2_hmac::<sha2::Sha512_224>(password, salt, rounds, key),
            Self::Sha512Cut256 => pbkdf2_hmac::<sha2::Sha512_256>(password, salt, rounds, key),
            Self::Sha3Of224 => sponge!(sha3::Sha3_224),
            Self::Sha3Of256 => sponge!(sha3::Sha3_256),
            Self::Sha3Of384 => sponge!(sha3::Sha3_384),
            Self::Sha3Of512 => sponge!(sha3::Sha3_512),
            Self::Ripemd160 => pbkdf2_hmac::<ripemd::Ripemd160>(password, salt, rounds, key),
        }
    }
}

/// How passwords are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordHash {
    /// The hash function.
    pub digest: Digest,
    /// Rounds of it.
    pub iterations: u32,
    /// Bytes of the key.
    pub key_length: usize,
}

impl PasswordHash {
    /// Hashes a password with a fresh salt.
    pub fn make(&self, password: &str) -> Result<String, getrandom::Error> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt)?;
        Ok(self.with_salt(password, &STANDARD.encode(salt)))
    }

    fn with_salt(&self, password: &str, salt: &str) -> String {
        let mut key = vec![0; self.key_length];
        self.digest.derive(password.as_bytes(), salt.as_bytes(), self.iterations, &mut key);
        STANDARD.encode(key) + salt
    }

    /// Whether some password has this hash; if not, why.
    pub fn check(&self, hash: &str) -> Result<(), String> {
        let (key, salt) = self.split(hash).ok_or_else(|| {
            format!("it is shorter than a key of {} bytes, which takes {} characters", self.key_length, self.key_text())
        })?;
        if STANDARD.decode(key).is_err() {
            return Err(format!("its first {} characters are not the base64 text of a key", self.key_text()));
        }
        if salt.is_empty() { Err("there is no salt after its key".to_owned()) } else { Ok(()) }
    }

    /// Whether this password has this hash.
    pub fn verify(&self, password: &str, hash: &str) -> bool {
        let Some((_, salt)) = self.split(hash) else { return false };
        same(&self.with_salt(password, salt), hash)
    }

    /// Takes as long as [`verify`](Self::verify) does, so that whoever measures cannot tell that a user is unknown.
    pub fn waste(&self, password: &str) {
        std::hint::black_box(self.with_salt(password, "AAAAAAAAAAAAAAAAAAAAAA=="));
    }

    /// Characters of the key's text.
    fn key_text(&self) -> usize {
        4 * self.key_length.div_ceil(3)
    }

    fn split<'h>(&self, hash: &'h str) -> Option<(&'h str, &'h str)> {
        hash.split_at_checked(self.key_text())
    }
}

/// Compares two texts in a time that depends on their lengths alone.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: PasswordHash = PasswordHash { digest: Digest::Md5, iterations: 100, key_length: 32 };

    #[test]
    fn what_upstream_hashed_is_verified() {
        for (password, hash) in [
            ("password", "rCOSZxJrgze2AZdVQh12c6ErDMOG0M+Rx5Yu7S5d91c=GS4SbTQYmoaGwjm2shEobg=="),
            ("userAPass", "CKgFpPLJX1+FezZR8bMsP+8wQR+WG0z7AZYRy9nz5KY=DzI79/e3yJ0Y0UvNENMXaQ=="),
        ] {
            assert!(SHIPPED.verify(password, hash), "{password}");
            assert!(SHIPPED.check(hash).is_ok());
            assert!(!SHIPPED.verify("Password", hash));
            assert!(!SHIPPED.verify("", hash));
            assert!(!SHIPPED.verify(password, &hash[..hash.len() - 1]), "the salt is part of it");
        }
    }

    /// The answers of Node 20's `crypto.pbkdf2Sync('pässwort', 'c2FsdA==', 3, 20, name)`.
    #[test]
    fn every_digest_derives_what_node_derives() {
        for (name, key) in VECTORS {
            let digest = Digest::from_name(name).expect(name);
            let hash = PasswordHash { digest, iterations: 3, key_length: 20 };
            assert_eq!(hash.with_salt("pässwort", "c2FsdA=="), format!("{key}c2FsdA=="), "{name}");
        }
        assert_eq!(VECTORS.len(), NAMES.len());
    }

    #[test]
    fn a_made_hash_is_salted_anew_and_verified() {
        let hash = PasswordHash { digest: Digest::Sha256, iterations: 7, key_length: 31 };
        let (one, two) = (hash.make("open").unwrap(), hash.make("open").unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 44 + 24);
        assert!(hash.verify("open", &one) && hash.verify("open", &two));
        assert!(!hash.verify("opem", &one));
    }

    #[test]
    fn hashes_no_password_can_have_say_why() {
        for (hash, why) in [
            ("short", "shorter than a key of 32 bytes, which takes 44 characters"),
            ("!COSZxJrgze2AZdVQh12c6ErDMOG0M+Rx5Yu7S5d91c=GS4SbTQYmoaGwjm2shEobg==", "not the base64 text of a key"),
            ("rCOSZxJrgze2AZdVQh12c6ErDMOG0M+Rx5Yu7S5d91c=", "no salt"),
            ("ßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßß", "not the base64 text"),
        ] {
            let said = SHIPPED.check(hash).unwrap_err();
            assert!(said.contains(why), "{said}");
            assert!(!SHIPPED.verify("x", hash));
        }
    }

    #[test]
    fn a_salt_of_any_length_is_taken_as_old_releases_wrote_it() {
        let old = SHIPPED.with_salt("password", "75KQ2Mzm");
        assert!(SHIPPED.verify("password", &old));
    }

    const VECTORS: &[(&str, &str)] = &[
        ("md5", "OYoA+id072OmTTf75J71ToqWCVc="),
        ("sha1", "zZNs8aVv3sP2bDWKB4VfpP8Es/w="),
        ("sha224", "b6bzbpzXkjU/R4NOtUtsPimrOD0="),
        ("RSA-SHA256", "moZWU5Rw1mQrN7PiBNdW6sxihHo="),
        ("sha384", "cSJCN9E/Rr98hng6/fB1yCzvwPQ="),
        ("sha512", "59VdX93yOkK4SpgWXrRM5s+9TZA="),
        ("sha512-224", "f2fAstjMSKpl9h3UYrFtgUuOhb4="),
        ("sha512-256", "D2fCy4joMpGx8U4rxrCIUZsc8Gs="),
        ("sha3-224", "Rb11Koa00jqXGhDOyZDiMA4XjZA="),
        ("sha3-256", "Qa3ktJCtzxsBt33MpIOv51YIDCo="),
        ("sha3-384", "WGlK2MwQq4L1QvtZwDULFepJ0tk="),
        ("sha3-512", "Mc7CvZf97RsnrDu9PUpObeYR4/8="),
        ("ripemd160", "KqF+g60evm+8tixC8yOj1EbcTtw="),
    ];
}
