//! A registry in etcd, over the HTTP gateway that every etcd has: its gRPC interface would cost a score of libraries for six calls.
//!
//! *Owns* the keys of a cluster, below `/deepstream/CLUSTER/`. *Promises* what every registry does (`src/registry/mod.rs`); leases are
//! etcd's own, so its clock ends them, and a change of its leader extends them. *Does not* read from a member that may be behind.
//!
//! A node has two keys under one lease: `nodes/NAME`, which holds its incarnation and its grant alone, because etcd compares values as a whole, and
//! `about/NAME`. The revision of the view is that of its key.

mod gateway;
mod keys;

pub use gateway::Settings;

use crate::registry::{Held, Holder, Lease, Registry, Renewed, Seen, Swapped};
use crate::storage::{Kind, Trouble};
use gateway::{Gateway, Key, number};
use keys::Keys;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// The shortest time that a call is given, however short the lease is. A call is up to five requests.
const DEADLINE_MIN: Duration = Duration::from_millis(500);
/// How often a lease is asked for while others come and go in between.
const TRIES: usize = 5;

/// See the module.
pub struct EtcdRegistry {
    gateway: Gateway,
    keys: Keys,
    ttl: Duration,
    /// The leases that this process has, by name, incarnation and grant.
    leases: Mutex<HashMap<(String, u64, u32), Granted>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// etcd's number of a lease, and how long it lasts.
type Granted = (String, Duration);

/// What a transaction found of a node, where it was not as it was taken to be.
enum Found {
    Free,
    /// A lease of the same process: with this grant.
    Own(u32),
    /// With etcd's number of the lease.
    Others(Holder, String),
}

impl EtcdRegistry {
    /// The registry of this cluster in this etcd, for leases of this length.
    pub fn new(settings: Settings, cluster: &str, ttl: Duration) -> Result<Self, String> {
        Ok(Self { gateway: Gateway::new(settings)?, keys: Keys::new(cluster), ttl, leases: Mutex::default() })
    }

    /// Does something in time. What fails is away until it is opened again.
    async fn call<T>(&self, act: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        self.gateway.is_open()?;
        let within = self.deadline();
        let result = timeout(within, act).await.unwrap_or_else(|_| {
            let what = format!("no answer within {} ms", within.as_millis());
            Err(Trouble::new(Kind::Away, what, "see whether etcd has a leader, and whether the way to it is cut"))
        });
        if result.is_err() {
            self.gateway.set_open(false);
        }
        result
    }

    /// etcd's number of a lease of at least this length, of which the node's keys may be part already; `None`: it has lapsed.
    async fn lease(&self, lease: &Lease<'_>) -> Result<Option<String>, Trouble> {
        let of = (lease.name.to_owned(), lease.incarnation, lease.grant);
        let known = lock(&self.leases).get(&of).cloned();
        if let Some((id, ttl)) = known {
            let alive = self.gateway.ask("lease/keepalive", &json!({ "ID": id })).await?;
            // One that is over is answered without an error, and without the time that is left.
            let is_alive = number(&alive["result"]["TTL"]) > 0;
            if is_alive && ttl >= lease.ttl {
                return Ok(Some(id));
            }
            if !is_alive {
                lock(&self.leases).remove(&of);
            }
            if !is_alive && !lease.fresh {
                return Ok(None);
            }
        } else if !lease.fresh {
            return Ok(None);
        }
        // Whole seconds; what is left of one is given, not taken.
        let seconds = lease.ttl.as_millis().div_ceil(1000).max(1);
        let granted = self.gateway.ask("lease/grant", &json!({ "TTL": seconds.to_string() })).await?;
        let id = granted["ID"].as_str().unwrap_or_default().to_owned();
        lock(&self.leases).insert(of, (id.clone(), lease.ttl));
        Ok(Some(id))
    }

    /// What whoever looks is told: the view, and all nodes.
    fn everything(&self) -> Value {
        json!([
            { "request_range": self.keys.all().range() },
        ])
    }

    fn seen(&self, responses: &Value, known: u64) -> Result<Seen, Trouble> {
        let pairs = gateway::pairs(&responses[0]["response_range"]["kvs"])?;
        Ok(self.keys.seen(&pairs, known))
    }

    /// One try to renew; else what stands against it.
    async fn try_to_renew(&self, lease: &Lease<'_>, known: u64) -> Result<Result<Renewed, Found>, Trouble> {
        let (node, about) = (self.keys.node(lease.name), self.keys.about(lease.name));
        let held = keys::held(lease.incarnation, lease.grant);
        let ranges = json!([{ "request_range": node.range() }, { "request_range": about.range() }]);
        let Some(id) = self.lease(lease).await? else {
            // By whom the name is held is worth more than that it has lapsed.
            let look = json!({ "success": ranges });
            let answer = self.gateway.ask("kv/txn", &look).await?;
            return Ok(match Self::found(lease, &answer["responses"])? {
                Found::Free | Found::Own(_) => Ok(Renewed::Lapsed),
                others @ Found::Others(..) => Err(others),
            });
        };
        let unchanged = json!({
            "compare": [node.holds(held.as_bytes()), about.holds(lease.about), node.is_under(&id)],
            "success": self.everything(),
            "failure": ranges,
        });
        let answer = self.gateway.ask("kv/txn", &unchanged).await?;
        if answer["succeeded"].as_bool() == Some(true) {
            return Ok(Ok(Renewed::Yours(self.seen(&answer["responses"], known)?)));
        }
        let is = match Self::found(lease, &answer["responses"])? {
            Found::Free if lease.fresh => node.is_absent(),
            Found::Own(grant) if grant == lease.grant || (lease.fresh && grant < lease.grant) => {
                node.holds(keys::held(lease.incarnation, grant).as_bytes())
            }
            Found::Free | Found::Own(_) => return Ok(Ok(Renewed::Lapsed)),
            others @ Found::Others(..) => return Ok(Err(others)),
        };
        let puts = json!([
            { "request_put": node.put(held.as_bytes(), &id) },
            { "request_put": about.put(lease.about, &id) },
            { "request_range": self.keys.all().range() },
        ]);
        let taking = json!({ "compare": [is], "success": puts, "failure": ranges });
        let answer = self.gateway.ask("kv/txn", &taking).await?;
        if answer["succeeded"].as_bool() == Some(true) {
            let pairs = gateway::pairs(&answer["responses"][2]["response_range"]["kvs"])?;
            return Ok(Ok(Renewed::Yours(self.keys.seen(&pairs, known))));
        }
        Ok(Err(Self::found(lease, &answer["responses"])?))
    }

    /// What the ranges of a node's two keys say.
    fn found(lease: &Lease<'_>, responses: &Value) -> Result<Found, Trouble> {
        let node = gateway::pairs(&responses[0]["response_range"]["kvs"])?;
        let Some(pair) = node.first() else { return Ok(Found::Free) };
        let (incarnation, grant) = keys::read_held(&pair.value);
        if incarnation == lease.incarnation {
            return Ok(Found::Own(grant));
        }
        let about = gateway::pairs(&responses[1]["response_range"]["kvs"])?;
        let about = about.into_iter().next().map(|pair| pair.value).unwrap_or_default();
        Ok(Found::Others(Holder { name: lease.name.to_owned(), incarnation, grant, about }, pair.lease.clone()))
    }

    /// Gives a lease back.
    async fn revoke(&self, name: &str, incarnation: u64, grant: u32) {
        let known = lock(&self.leases).remove(&(name.to_owned(), incarnation, grant));
        if let Some((id, _)) = known {
            // That it is over already is an error to etcd, and as good.
            let _ = self.gateway.ask("lease/revoke", &json!({ "ID": id })).await;
        }
    }

    async fn renewed(&self, lease: &Lease<'_>, known: u64) -> Result<Renewed, Trouble> {
        for _ in 0..TRIES {
            match self.try_to_renew(lease, known).await? {
                Ok(renewed) => return Ok(renewed),
                Err(Found::Others(holder, id)) => {
                    self.revoke(lease.name, lease.incarnation, lease.grant).await;
                    let left = self.gateway.ask("lease/timetolive", &json!({ "ID": id })).await?;
                    let left = Duration::from_secs(u64::try_from(number(&left["TTL"])).unwrap_or(0));
                    return Ok(Renewed::Held(holder, left));
                }
                Err(Found::Free | Found::Own(_)) => {}
            }
        }
        let what = format!("the lease of {} came and went {TRIES} times", lease.name);
        Err(Trouble::new(Kind::Away, what, "see whether two nodes have this name"))
    }

    async fn swapped(&self, expected: u64, view: &[u8], lease: Held<'_>) -> Result<Swapped, Trouble> {
        let (node, key) = (self.keys.node(lease.name), self.keys.view());
        let held = keys::held(lease.incarnation, lease.grant);
        let is_expected = if expected == 0 { key.is_absent() } else { key.is_of(expected) };
        let swap = json!({
            "compare": [node.holds(held.as_bytes()), is_expected],
            "success": [{ "request_put": key.put(view, "0") }, { "request_range": key.range() }],
            "failure": [{ "request_range": node.range() }, { "request_range": key.range() }],
        });
        let answer = self.gateway.ask("kv/txn", &swap).await?;
        let pairs = gateway::pairs(&answer["responses"][1]["response_range"]["kvs"])?;
        let present = pairs.first().map_or(0, |pair| pair.revision);
        if answer["succeeded"].as_bool() == Some(true) {
            return Ok(Swapped::Done(present));
        }
        let holder = gateway::pairs(&answer["responses"][0]["response_range"]["kvs"])?;
        let is_held = holder.first().is_some_and(|pair| pair.value == held.as_bytes());
        Ok(if is_held { Swapped::Other(present) } else { Swapped::NotHeld })
    }

    /// What there is, and etcd's own revision at that moment.
    async fn looked(&self, known: u64) -> Result<(Seen, i64), Trouble> {
        let answer = self.gateway.ask("kv/range", &self.keys.all().range()).await?;
        let pairs = gateway::pairs(&answer["kvs"])?;
        Ok((self.keys.seen(&pairs, known), number(&answer["header"]["revision"])))
    }
}

impl Registry for EtcdRegistry {
    fn place(&self) -> String {
        format!("etcd at {}", self.gateway.place())
    }

    /// etcd gives no shorter one: one and a half times what an election may take.
    fn ttl_min(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn deadline(&self) -> Duration {
        (self.ttl / 6).max(DEADLINE_MIN)
    }

    async fn open(&self) -> Result<(), Trouble> {
        self.gateway.set_open(true);
        let result = timeout(self.gateway.patience(), self.gateway.open()).await.unwrap_or_else(|_| {
            let what = format!("no answer within {} ms", self.gateway.patience().as_millis());
            Err(Trouble::new(Kind::Away, what, "see whether etcd has a leader, and whether the way to it is cut"))
        });
        self.gateway.set_open(result.is_ok());
        result
    }

    async fn renew(&self, lease: &Lease<'_>, known: u64) -> Result<Renewed, Trouble> {
        self.call(self.renewed(lease, known)).await
    }

    async fn release(&self, lease: Held<'_>) -> Result<(), Trouble> {
        let node = self.keys.node(lease.name);
        let delete = json!({
            "compare": [node.holds(keys::held(lease.incarnation, lease.grant).as_bytes())],
            "success": [
                { "request_delete_range": node.only() },
                { "request_delete_range": self.keys.about(lease.name).only() },
            ],
        });
        self.call(async {
            self.gateway.ask("kv/txn", &delete).await?;
            self.revoke(lease.name, lease.incarnation, lease.grant).await;
            Ok(())
        })
        .await
    }

    async fn look(&self, known: u64) -> Result<Seen, Trouble> {
        self.call(async { self.looked(known).await.map(|(seen, _)| seen) }).await
    }

    async fn swap(&self, expected: u64, view: &[u8], lease: Held<'_>) -> Result<Swapped, Trouble> {
        self.call(self.swapped(expected, view, lease)).await
    }

    async fn changed(&self, stamp: u64) -> Result<(), Trouble> {
        let (seen, revision) = self.call(self.looked(0)).await?;
        if seen.stamp != stamp {
            return Ok(());
        }
        // A member that no longer answers tells nothing; then it looks as if something had changed.
        let all = self.keys.all();
        let watch = self.gateway.watch(&all, revision + 1);
        match timeout(self.deadline(), watch).await {
            Ok(Err(trouble)) => {
                self.gateway.set_open(false);
                Err(trouble)
            }
            Ok(Ok(())) | Err(_) => self.gateway.is_open(),
        }
    }

    async fn close(&self) {
        self.gateway.set_open(false);
    }
}

impl Key {
    /// That it has no value.
    fn is_absent(&self) -> Value {
        json!({ "key": self.text(), "target": "CREATE", "create_revision": "0", "result": "EQUAL" })
    }

    fn holds(&self, value: &[u8]) -> Value {
        json!({ "key": self.text(), "target": "VALUE", "value": gateway::text(value), "result": "EQUAL" })
    }

    fn is_of(&self, revision: u64) -> Value {
        json!({ "key": self.text(), "target": "MOD", "mod_revision": revision.to_string(), "result": "EQUAL" })
    }

    fn is_under(&self, lease: &str) -> Value {
        json!({ "key": self.text(), "target": "LEASE", "lease": lease, "result": "EQUAL" })
    }

    fn put(&self, value: &[u8], lease: &str) -> Value {
        json!({ "key": self.text(), "value": gateway::text(value), "lease": lease })
    }

    fn only(&self) -> Value {
        json!({ "key": self.text() })
    }
}
