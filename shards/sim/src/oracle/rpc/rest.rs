//! What must have come of calls by the time nothing is under way.

use super::{Answer, Request};
use crate::oracle::Oracle;
use crate::oracle::record::text;
use deepstream_engine::Nanos;
use deepstream_wire::Action;

/// What must have come by the time nothing is under way.
impl Oracle {
    /// Nothing but time can happen: whoever still waits may do so.
    pub(crate) fn rpc_in_time(&mut self, waited_at: Nanos) {
        let timeout_ns = self.calls.ack_timeout_ns.max(self.calls.response_timeout_ns);
        let late = self.calls.requests.iter().find(|request| {
            let due = request.touched.after(timeout_ns + self.calls.late_ns);
            let twin = self.calls.has_twin(&request.key);
            // Where there are rules, a call may have to wait for records before it is made.
            let made = !self.permit.ruled() || !request.asks.is_empty();
            request.answered.is_none() && self.sound(request.key.0) && due < waited_at && !twin && made
        });
        if let Some(request) = late {
            let what = format!("conn {} was not answered in time: {request:?}", request.key.0);
            self.fail(what);
        }
    }

    pub(in crate::oracle) fn rpc_at_rest(&mut self) {
        let calls = &self.calls;
        let open = |request: &&Request| request.answered.is_none() && self.sound(request.key.0);
        if let Some(request) = calls.requests.iter().find(open) {
            let what = format!("conn {} was never answered: {request:?}", request.key.0);
            return self.fail(what);
        }
        let unproven = calls.unproven.iter().map(|&answer| &calls.answers[answer]);
        if let Some(answer) = unproven
            .filter(|answer| self.sound(answer.key.0))
            .find(|answer| !calls.asks_by_key.contains_key(&answer.key))
        {
            let what = format!("conn {} was not asked and its answer was used: {answer:?}", answer.key.0);
            return self.fail(what);
        }
        let only = |answer: &Answer| calls.asks_by_key.get(&answer.key).is_some_and(|asks| asks.len() == 1);
        let late = |&&index: &&usize| {
            let answer = &calls.answers[index];
            only(answer) && self.sound(answer.key.0) && calls.repeats(index)
        };
        if let Some(&index) = calls.suspects.iter().find(late) {
            let what = format!("a late answer was used: {:?}", calls.answers[index]);
            return self.fail(what);
        }
        let ignored = |&index: &usize| {
            let answer = &calls.answers[index];
            if answer.settled || !self.sound(answer.key.0) {
                return false;
            }
            // Rejections that cross the end of providing are passed over, as many as calls were handed over.
            if answer.action == Action::RpcReject && calls.withdrew.contains(&answer.key.0) {
                return false;
            }
            match calls.asks_by_key.get(&answer.key).map(|asks| &asks[..]) {
                None => true,
                // An acceptance by one that guessed may have been taken for another's that guessed the same.
                Some(&[ask]) if answer.action == Action::RpcAccept && answer.heard < calls.asks[ask].said => false,
                Some(&[ask]) => {
                    // Of a call that went round, an acceptance may have been taken for that of another it was asked of.
                    let number = calls.asks[ask].request;
                    let asked = calls.asks.iter().filter(|other| other.request == number).count();
                    if answer.action == Action::RpcAccept && asked > 1 {
                        return false;
                    }
                    let request = &calls.requests[number];
                    let forwarded = answer.action != Action::RpcReject
                        && self.sound(request.key.0)
                        && !calls.has_twin(&request.key);
                    calls.repeats(index) || forwarded
                }
                Some(_) => false,
            }
        };
        if let Some(answer) = (0..calls.answers.len()).find(ignored).map(|index| &calls.answers[index]) {
            let what = format!("conn {} was ignored: {} {answer:?}", answer.key.0, text(&answer.key.2));
            self.fail(what);
        }
    }
}
