// A hundred clients that are served while thousands of others shake hands over TLS: from a process of its own, each with a
// whole handshake, nothing resumed. How long the clients wait is measured before and meanwhile.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { Raw } from '../helpers/raw.mjs'
import { SHARDS } from '../helpers/server.mjs'
import { startSecured } from '../helpers/tls.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'
import { EVENT } from '../helpers/wire.mjs'

const CONNECTS = Number(process.env.DEEPSTREAM_TLS_CONNECTS ?? 500)
const CLIENTS = 100
const SAMPLES = 3000
/** How many times longer than before the median may take: cores are shared with two busy clients here. */
const RATIO_MAX = 50

/** What runs in the other process: so many handshakes, so many at once. */
const storm = `
  const tls = require('node:tls')
  const [port, count, atOnce] = process.argv.slice(1).map(Number)
  let left = count
  let done = 0
  const one = () => {
    if (left-- <= 0) return
    const socket = tls.connect({ port, host: 'localhost', rejectUnauthorized: false })
    socket.once('secureConnect', () => { done++; socket.destroy() })
    socket.once('error', (error) => { console.error(error.message); process.exitCode = 1 })
    socket.once('close', one)
  }
  for (let n = 0; n < atOnce; n++) one()
  process.once('exit', () => console.log(done))
`

/** Every client in its turn says something to the next; how long each time took, in microseconds, shortest first. */
async function measure (clients, enough) {
  const times = []
  for (let n = 0; !enough(n); n++) {
    const [from, to] = [clients[n % clients.length], clients[(n + 1) % clients.length]]
    const begun = process.hrtime.bigint()
    from.event(EVENT.EMIT, { name: to.own, data: String(n) })
    const [heard] = await within('an event', to.heard())
    times.push(Number(process.hrtime.bigint() - begun) / 1000)
    assert.equal(heard, String(n))
  }
  return times.sort((a, b) => a - b)
}

/** A client with an event of its own. */
async function client (t, server, index) {
  const raw = await Raw.login(t, server)
  raw.own = `own/${index}`
  raw.event(EVENT.SUBSCRIBE, { names: [raw.own], correlationId: '0' })
  await raw.take()
  // Without looking for it every two milliseconds.
  raw.heard = async () => {
    if (raw.received.length === 0) await once(raw.socket, 'message')
    return raw.received.splice(0).map(({ data }) => data)
  }
  return raw
}

test(`${CLIENTS} clients while ${CONNECTS} others shake hands`, async (t) => {
  const server = await startSecured({ shards: SHARDS, memory: true })
  atEnd(t, () => server.discard())
  const clients = await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(t, index % 2 ? server : server.secured, index)))
  await measure(clients, (n) => n >= SAMPLES / 3)
  const before = await measure(clients, (n) => n >= SAMPLES)

  const child = spawn(process.execPath, ['-e', storm, server.secured.port, CONNECTS, 50], { stdio: ['ignore', 'pipe', 'inherit'] })
  atEnd(t, () => child.kill())
  let printed = ''
  child.stdout.on('data', (chunk) => { printed += chunk })
  const begun = performance.now()
  const meanwhile = await measure(clients, () => child.exitCode !== null)
  const seconds = (performance.now() - begun) / 1000
  await until('all is printed', () => printed.endsWith('\n'))
  assert.equal(Number(printed), CONNECTS, 'every handshake is completed')
  assert.equal(child.exitCode, 0)

  const at = (times, share) => times[Math.min(times.length - 1, Math.floor(times.length * share))]
  const shown = (times) => `p50 ${at(times, 0.5).toFixed(0)} µs, p99 ${at(times, 0.99).toFixed(0)} µs, longest ${times.at(-1).toFixed(0)} µs of ${times.length}`
  t.diagnostic(`${(CONNECTS / seconds).toFixed(0)} handshakes a second`)
  t.diagnostic(`before: ${shown(before)}`)
  t.diagnostic(`meanwhile: ${shown(meanwhile)}`)
  assert.ok(at(meanwhile, 0.5) < RATIO_MAX * at(before, 0.5), 'clients are served meanwhile')
  assert.ok(clients.every((raw) => !raw.ended))
})
