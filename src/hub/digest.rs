//! Compares a file with the digest that its etag is: SHA-256 for files in git's large file storage,
//! git's SHA-1 for the others.

use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use std::io::{self, Read};

/// Sums up the bytes of one file.
pub(super) struct Sum {
    wanted: String,
    kind: Kind,
}

enum Kind {
    /// The etag is no digest: there is nothing to compare.
    Unknown,
    Sha256(Sha256),
    /// Of git's blob, and of the bytes alone, which some mirrors give.
    Sha1 {
        blob: Sha1,
        bytes: Sha1,
    },
}

impl Sum {
    /// Of a file of `size` bytes that came with this etag.
    pub fn new(etag: &str, size: u64) -> Self {
        let is_hex = etag.bytes().all(|b| b.is_ascii_hexdigit());
        let kind = match etag.len() {
            64 if is_hex => Kind::Sha256(Sha256::new()),
            40 if is_hex => Kind::Sha1 { blob: Sha1::new_with_prefix(format!("blob {size}\0")), bytes: Sha1::new() },
            _ => Kind::Unknown,
        };
        Sum { wanted: etag.to_ascii_lowercase(), kind }
    }

    /// Whether there is anything to compare.
    pub fn is_known(&self) -> bool {
        !matches!(self.kind, Kind::Unknown)
    }

    pub fn add(&mut self, bytes: &[u8]) {
        match &mut self.kind {
            Kind::Unknown => {}
            Kind::Sha256(sum) => sum.update(bytes),
            Kind::Sha1 { blob, bytes: plain } => {
                blob.update(bytes);
                plain.update(bytes);
            }
        }
    }

    /// Adds the next `length` bytes of a file; fewer are an error.
    pub fn add_file(&mut self, file: &mut impl Read, length: u64) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let mut left = length;
        while left > 0 {
            let most = left.min(buffer.len() as u64) as usize;
            let read = match file.read(&mut buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.add(&buffer[..read]);
            left -= read as u64;
        }
        Ok(())
    }

    /// What is wrong, if the bytes are others than announced.
    pub fn check(self) -> Result<(), String> {
        let (name, sum) = match self.kind {
            Kind::Unknown => return Ok(()),
            Kind::Sha256(sum) => ("SHA-256", hex(&sum.finalize())),
            Kind::Sha1 { bytes, .. } if hex(&bytes.clone().finalize()) == self.wanted => return Ok(()),
            Kind::Sha1 { blob, .. } => ("SHA-1 in git", hex(&blob.finalize())),
        };
        if sum == self.wanted { Ok(()) } else { Err(format!("its {name} is {sum}, {} was announced", self.wanted)) }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_tools() {
        let check = |etag: &str, text: &str| {
            let mut sum = Sum::new(etag, text.len() as u64);
            sum.add_file(&mut text.as_bytes(), text.len() as u64).unwrap();
            (sum.is_known(), sum.check())
        };
        // `printf hello | sha256sum`, `git hash-object`, `sha1sum`.
        for etag in [
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            "2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824",
            "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0",
            "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
        ] {
            assert_eq!(check(etag, "hello"), (true, Ok(())));
            let says = check(etag, "hullo").1.unwrap_err();
            assert!(says.ends_with(&format!("{} was announced", etag.to_lowercase())), "{says}");
        }
        // git's name for the empty blob.
        assert_eq!(check("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", ""), (true, Ok(())));
        for etag in ["etag1", "", "d41d8cd98f00b204e9800998ecf8427e", "zaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"] {
            assert_eq!(check(etag, "hello"), (false, Ok(())));
        }
    }

    #[test]
    fn a_file_that_ends_early_is_an_error() {
        assert!(Sum::new("", 6).add_file(&mut &b"hello"[..], 6).is_err());
    }
}
