//! Records of which somebody may not know, or which they may not change.

use super::{Subscription, text};
use crate::oracle::Oracle;
use crate::oracle::permit::Grant;
use deepstream_wire::{Action, Message};

impl Oracle {
    /// A message about a record is denied, or a subscription ends.
    pub(in crate::oracle) fn record_denied(&mut self, conn: usize, action: Action, message: &Message<&[u8]>) {
        let name = message.name();
        match action {
            Action::RecordRead => {
                self.single_answered(conn, action, name, None);
                self.read_failed(conn, name, None);
            }
            Action::RecordHead => {
                self.single_answered(conn, action, name, None);
                let heads = &mut self.records.tie(conn, name).heads;
                let owed = heads.checked_sub(1);
                *heads = owed.unwrap_or(0);
                self.check(owed.is_some(), || format!("conn {conn} asked for no version of {}", text(name)));
            }
            Action::RecordDelete => {
                self.single_answered(conn, action, name, None);
                self.delete_paid(conn, name);
                let tie = self.records.tie(conn, name);
                let deleting = tie.deletes > 0;
                if let Some(subscription) = &mut tie.subscription {
                    subscription.behind_deletion &= deleting;
                }
            }
            Action::RecordSubscribe
            | Action::RecordSubscribeAndHead
            | Action::RecordSubscribeAndRead
            | Action::RecordSubscribeCreateAndRead => self.record_subscription_denied(conn, action, message),
            Action::RecordNotify => {
                let refused = self.bulk_refused(conn, message);
                self.check(refused, || format!("conn {conn} has not notified of {}", text(name)));
            }
            _ => self.write_denied(conn, message),
        }
    }

    fn record_subscription_denied(&mut self, conn: usize, action: Action, message: &Message<&[u8]>) {
        let (name, correlation_id) = (message.name(), message.correlation_id());
        if let Some(id) = correlation_id {
            if let Some(bulk) = self.records.bulks.get_mut(&(conn, id.into())) {
                bulk.refused += 1;
            }
            if matches!(action, Action::RecordSubscribeAndRead | Action::RecordSubscribeCreateAndRead) {
                self.single_answered(conn, Action::RecordRead, name, None);
                self.read_failed(conn, name, Some(id));
            }
        }
        let tie = self.records.tie(conn, name);
        let meant = |it: &Subscription| correlation_id.is_none_or(|id| *it.asked == *id);
        if tie.subscription.as_ref().is_some_and(meant) {
            tie.subscription = None;
            tie.fresh = false;
            tie.before = None;
            self.wants_no_more(conn, true, name);
            self.told_no_more(conn, name);
        }
    }

    /// Subscriptions, for whoever wants to know what goes on.
    pub(in crate::oracle) fn granted_records(&self, grant: &mut Vec<Grant>) {
        let ties = self.records.ties.iter().filter(|(_, tie)| tie.subscription.is_some());
        grant.extend(ties.map(|((conn, name), _)| (*conn, Action::RecordSubscribe, Some(name.clone()))));
    }
}
