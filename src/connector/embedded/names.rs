//! *Owns* what the embedded store says of names: it keeps them as they are, byte by byte, control characters too, as
//! upstream does. A name is bytes with a length before them in everything that is written, and what prints it escapes it.

use crate::storage::names::{Names, Place, Refusal};

/// The database's limit.
const NAME_BYTES_MAX: usize = u16::MAX as usize;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Whole;

impl Names for Whole {
    fn place<'n>(&'n self, name: &'n [u8]) -> Result<Place<'n>, Refusal> {
        match name.len() {
            0 => Err(Refusal("it is empty".to_owned())),
            // The database would panic.
            len if len > NAME_BYTES_MAX => Err(Refusal(format!("it has more than {NAME_BYTES_MAX} bytes"))),
            _ => Ok(Place { table: "", id: name }),
        }
    }
}
