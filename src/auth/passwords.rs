//! *Owns* the comparison of a password with the stored one. *Promises* that it takes as long for a user that does not exist
//! as for a wrong password. *Does not* know where passwords are stored.

use super::logins::Tools;
use super::verdict::{Barred, Request};
use crate::credentials::{PasswordHash, same};

impl Tools {
    /// Whether this password is the stored one. Takes as long for a user that does not exist. `Err`: while this login
    /// waited for its turn, too many of its address were refused, and it is not told whether the password was right.
    pub async fn verify(
        &self,
        request: &Request,
        hash: Option<PasswordHash>,
        password: &str,
        stored: Option<&str>,
    ) -> Result<bool, Barred> {
        let is_known = stored.is_some();
        let fits = if let Some(hash) = hash {
            let (password, stored) = (password.to_owned(), stored.map(str::to_owned));
            let verify = move || {
                if let Some(stored) = stored {
                    hash.verify(&password, &stored)
                } else {
                    hash.waste(&password);
                    false
                }
            };
            let turn = self.compute.turn(request.origin).await;
            self.admit(request)?;
            self.compute.run(turn, verify).await.unwrap_or(false)
        } else {
            stored.is_some_and(|stored| same(password, stored))
        };
        if is_known && !fits {
            request.miss();
        }
        Ok(fits)
    }
}
