//! A connection that carried requests of HTTP and goes on as a WebSocket.

use super::{Connections, Key, Next};
use deepstream_wire::Link;

impl Connections {
    /// Hands the upgrade request and the bytes after it to the link, as if it were the connection's first request.
    pub(in crate::host) fn begin_anew(&mut self, key: Key) -> Next {
        let Self { ring, sockets, shard, auth, links, web, now, .. } = self;
        let mut replies = std::mem::take(&mut sockets.replies);
        let heard = sockets.get(key).and_then(|socket| {
            let mut rest = socket.http.take()?.into_rest();
            socket.link = Link::new();
            // It was not read while there was too much to answer. From now on the shard decides that.
            if std::mem::take(&mut socket.paused) {
                ring.resume(key);
            }
            let heard = socket.listen((shard, auth, web), *now, links, Some(&mut rest), &mut replies);
            Some((socket.conn, heard))
        });
        self.sockets.replies = replies;
        let next = heard.map_or(Next::Nothing, |(conn, heard)| self.heard(key, conn, &heard));
        self.part_if_ended(key);
        next
    }
}
