//! A connection that carried requests of HTTP and goes on as a WebSocket.

use super::{Core, Key, Link};

impl Core {
    /// What came after the last request begins with one for an upgrade: the link hears it as if it were the connection's first.
    pub(in super::super) fn begin_anew(&mut self, key: Key) {
        let Self { ring, sockets, shard, auth, links, web, now, .. } = self;
        let mut replies = std::mem::take(&mut sockets.replies);
        let heard = sockets.get(key).and_then(|socket| {
            let mut rest = socket.http.take()?.into_rest();
            socket.link = Link::new();
            // It was not read while there was too much to answer. Now it is the shard that says when.
            if std::mem::take(&mut socket.paused) {
                ring.resume(key);
            }
            let heard = socket.listen((shard, auth, web), *now, links, Some(&mut rest), &mut replies);
            Some((socket.conn, heard))
        });
        self.sockets.replies = replies;
        if let Some((conn, heard)) = heard {
            self.heard(key, conn, &heard);
        }
        if self.sockets.get(key).is_some_and(|socket| socket.ended && !socket.paused) {
            self.part(key);
        }
    }
}
