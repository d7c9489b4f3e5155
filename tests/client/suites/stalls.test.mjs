// A process that does not get its CPUs for a while, because of a debugger, a hypervisor or load, at any moment of its
// turns, goes on afterwards on every shard.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Raw } from '../helpers/raw.mjs'
import { serverFor } from '../helpers/server.mjs'
import { until, unique } from '../helpers/until.mjs'
import { RECORD } from '../helpers/wire.mjs'

const CONNECTIONS = 16
const STALLS = 300
/** Longer than any time slice an executor would give a busy task. */
const STALL_MS = 4

test(`${STALLS} stalls in the middle of traffic`, async (t) => {
  const server = await serverFor(t, { memory: true })
  const raws = await Promise.all(Array.from({ length: CONNECTIONS }, () => Raw.login(t, server)))
  const name = unique('stall')
  let answers = 0
  let stopped = false
  raws.forEach((raw, index) => {
    raw.socket.removeAllListeners('message')
    // Every answer is followed by the next question, so that there is traffic whatever the machine's pace.
    raw.socket.on('message', () => { answers += 1; if (!stopped) raw.record(RECORD.HEAD, { name: `${name}/${index}/${answers % 50}` }) })
    for (let ahead = 0; ahead < 20; ahead++) raw.record(RECORD.HEAD, { name: `${name}/${index}/${ahead}` })
  })
  for (let stall = 1; stall <= STALLS; stall++) {
    server.child.kill('SIGSTOP')
    const before = answers
    const since = performance.now()
    await until('it was away for a while', () => performance.now() - since > STALL_MS, { every: 1 })
    server.child.kill('SIGCONT')
    await until(`answers after stall ${stall}`, () => answers > before + CONNECTIONS, { every: 0 })
  }
  stopped = true
  assert.equal(await server.health(), 200)
})
