//! Checks takeovers: of several connections with the same user and client id only the last one remains, and no others
//! are closed for that reason.

use crate::oracle::Oracle;

impl Oracle {
    /// A connection is to be closed because another came under its name.
    pub(super) fn taken_over(&mut self, conn: usize) {
        let again = std::mem::replace(&mut self.conns[conn].taken_over, true);
        let (came, went) = self
            .client_ids(conn)
            .fold((0, 0), |(came, went), other| (came + 1, went + usize::from(self.conns[other].taken_over)));
        let fits = !again && self.hold_client_id(conn) && went < came;
        self.check(fits, || format!("conn {conn} is taken over by nobody: {went} of {came} were"));
    }

    /// Whether a connection is somebody's, and has a name.
    fn hold_client_id(&self, conn: usize) -> bool {
        self.conns[conn].user.is_some() && !self.conns[conn].name.is_empty()
    }

    /// All connections there ever were of this one's user and name, itself among them.
    fn client_ids(&self, conn: usize) -> impl Iterator<Item = usize> + '_ {
        let view = &self.conns[conn];
        (0..self.conns.len())
            .filter(|&other| self.conns[other].user == view.user && self.conns[other].name == view.name)
    }

    /// Nothing is under way: nobody is there twice.
    pub(super) fn takeovers_at_rest(&mut self) {
        let there = |&conn: &usize| self.sound(conn) && self.hold_client_id(conn);
        let twice = (0..self.conns.len()).filter(there).find_map(|conn| {
            let other = self.client_ids(conn).filter(there).find(|&other| other != conn)?;
            Some(format!("conn {conn} and conn {other} bear one name: {}", self.conns[conn].name))
        });
        if let Some(what) = twice {
            self.fail(what);
        }
    }
}
