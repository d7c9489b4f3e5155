// Clients that open many connections and say nothing: they may use up the connections that are allowed, but never the
// file descriptors that storage and logins need.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { freePort } from '../helpers/ports.mjs'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { Server, serverFor } from '../helpers/server.mjs'
import { connect } from '../helpers/tcp.mjs'
import { atEnd, unique, until, within } from '../helpers/until.mjs'
import { RECORD } from '../helpers/wire.mjs'

const wrap = (files) => ['prlimit', `--nofile=${files}:${files}`]

/** So many sockets at these ports, which say nothing; each knows when it is gone. */
async function strangers (t, count, ports) {
  const sockets = await Promise.all(Array.from({ length: count }, (_, index) => connect({ port: ports[index % ports.length] })))
  atEnd(t, () => sockets.forEach((socket) => socket.destroy()))
  return sockets
}

describe('file descriptors', () => {
  test('connections that say nothing leave storage what it needs, at every door', async (t) => {
    const mqtt = { port: await freePort() }
    const server = await serverFor(t, { wrap: wrap(128), mqtt, shards: 2 })
    const raw = await Raw.login(t, server)
    const sockets = await strangers(t, 150, [server.port, mqtt.port])
    await until('those for whom there is no room are refused', () => sockets.filter((socket) => socket.destroyed).length > 50)
    assert.ok(sockets.some((socket) => !socket.destroyed), 'some are served')
    const told = await until('who may speak HTTP is told', () => sockets.find((socket) => socket.heardBytes > 0))
    assert.match(told.heard.toString(), /^HTTP\/1\.1 503 /)

    // Enough for the store to write tables, for which it opens files.
    const data = JSON.stringify({ text: 'x'.repeat(500000) })
    const names = Array.from({ length: 120 }, () => unique('descriptors'))
    for (const name of names) {
      raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data, isWriteAck: true, correlationId: name })
      const answer = await raw.next({ correlationId: name }, 30000)
      assertFields(answer, { action: RECORD.WRITE_ACKNOWLEDGEMENT })
    }
    raw.record(RECORD.READ, { name: names[0] })
    assertFields(await raw.take(), { action: RECORD.READ_RESPONSE })
    assert.doesNotMatch(server.log, /os error 24|Too many open files/)
    assert.match(server.log, /up to \d+ connections: this process may have 128 open files, of which \d+ are kept/)
    const refusals = server.log.match(/connections were refused/g) ?? []
    assert.ok(refusals.length > 0 && refusals.length <= 10, `told ${refusals.length} times`)

    sockets.forEach((socket) => socket.destroy())
    const next = await until('there is room again', () => Raw.login(t, server).catch(() => undefined))
    next.record(RECORD.READ, { name: names[1] })
    assertFields(await next.take(), { action: RECORD.READ_RESPONSE })
  })

  test('a limit that leaves room for nobody is said at the start', async (t) => {
    const server = await Server.prepare({ wrap: wrap(64), shards: 2 })
    atEnd(t, () => server.discard())
    server.expectExit = true
    server.spawn()
    server.expectExit = true
    const { code } = await within('the end', server.exited)
    assert.ok(code > 0, `exit code ${code}`)
    assert.match(server.log, /may have 64 open files.*ulimit -n|os error 24|Too many open files/s)
  })
})
